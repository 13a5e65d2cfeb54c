"""Commands are named as the one that is running was called."""

import sys
from pathlib import Path

import pytest

from prefprior.invocation import as_called
from tests.commands import fails, run

TOLD = "Train one with: python train.py (or python benchmarks/wals.py)"


@pytest.mark.parametrize("called", ["train.py", "../clone/evaluate.py", "ipykernel_launcher.py"])
def test_in_a_clone_messages_name_the_python_files(monkeypatch: pytest.MonkeyPatch, called: str) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert as_called(TOLD) == TOLD


def test_installed_messages_name_the_console_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/env/bin/prefprior-evaluate"])
    assert as_called(TOLD) == "Train one with: prefprior-train (or python benchmarks/wals.py)"


def test_an_error_names_the_installed_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message = fails(monkeypatch, tmp_path, "sample", called="/env/bin/prefprior-sample")
    assert "Make one with: prefprior-train" in message


def test_help_names_the_installed_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "embed", "--help", called="/env/bin/prefprior-embed")
        raise SystemExit(0)
    printed = capsys.readouterr().out
    assert "prefprior-embed source=flickr_aes" in printed
    assert "python embed.py" not in printed
