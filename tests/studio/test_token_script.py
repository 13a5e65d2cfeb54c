"""`scripts/studio_token.py`: keys of platforms."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from prefprior.studio.store.database import Database
from prefprior.studio.store.tokens import Tokens

SCRIPT = Path(__file__).parents[2] / "scripts/studio_token.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("studio_token", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_token_is_printed_and_revoked(
    script: ModuleType, sqlite: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    url = sqlite.engine.url.render_as_string()
    script.main(["shop", "--scopes", "ask", "--days", "2", "--database", url])
    found = Tokens(sqlite).find(capsys.readouterr().out.strip())
    assert found is not None
    assert (found.platform, found.scopes) == ("shop", {"ask"})
    script.main(["shop", "--revoke", "--database", url])
    assert "1 tokens of shop deleted" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="shop has no tokens"):
        script.main(["shop", "--revoke", "--database", url])


def test_a_mistyped_path_is_told_and_not_made(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no database"):
        script.main(["shop", "--database", f"sqlite:///{tmp_path / 'none.sqlite'}"])
    assert list(tmp_path.iterdir()) == []
