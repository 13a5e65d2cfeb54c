"""scripts/selection_and_rating.py: the way to its table."""

from pathlib import Path

import pytest

from prefprior.files import write_json
from prefprior.runs import INTERVALS, Run
from scripts import selection_and_rating


def test_the_table_has_every_share_and_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def evaluate(*words: str) -> Run:
        asked.append(words)
        folder = tmp_path / str(len(asked))
        rows = {"": 0.9, "+permuted": 0.8, "+negated": 0.7, "+other_user": 0.1}
        write_json(
            folder / INTERVALS,
            {
                f"world/unseen/prior{row}/{name}@all": {
                    "value": value + len(asked) / 100,
                    "low": value,
                    "high": value + 0.02,
                }
                for row, value in rows.items()
                for name in ("utility", "auc")
            },
        )
        return Run(folder)

    monkeypatch.setattr(selection_and_rating, "evaluate", evaluate)
    selection_and_rating.main(["people=5", "--sought", "0", "0.6"])
    assert [words[-2:] for words in asked] == [("people=5", "source.sought=0"), ("people=5", "source.sought=0.6")]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| sought | figure | own history | other user | permuted | negated |"
    assert lines[2] == "| 0 | utility | 0.910 ±0.010 | 0.110 ±0.010 | 0.810 ±0.010 | 0.710 ±0.010 |"
    assert [line.split("|")[1:3] for line in lines[2:]] == [
        [" 0 ", " utility "], [" 0 ", " auc "], [" 0.6 ", " utility "], [" 0.6 ", " auc "]
    ]  # fmt: skip
