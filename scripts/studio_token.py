"""Issues or revokes a platform's token to the studio's HTTP API.

    python scripts/studio_token.py shop --scopes ask read --days 90
    python scripts/studio_token.py shop --revoke --database sqlite:///runs/serve/studio/studio.sqlite

The token is printed once; the database keeps its hash.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.studio.store.database import Database
from prefprior.studio.store.tokens import SCOPES, Tokens

DEFAULT = "sqlite:///runs/serve/studio/studio.sqlite"


def main(words: list[str]) -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("platform", help="its people are its own")
    parser.add_argument("--scopes", nargs="+", default=["ask", "read", "export"], help=f"of {', '.join(SCOPES)}")
    parser.add_argument("--days", type=float, default=365.0, help="until it expires")
    parser.add_argument("--revoke", action="store_true", help="deletes all tokens of the platform")
    parser.add_argument("--database", default=DEFAULT)
    given = parser.parse_args(words)
    try:
        database = Database.open(given.database, make=False)
        tokens = Tokens(database)
        if given.revoke:
            if not (count := tokens.revoke(given.platform)):
                raise ValueError(f"{given.platform} has no tokens in {database.name}")
            print(f"{count} tokens of {given.platform} deleted")
        else:
            print(tokens.issue(given.platform, given.scopes, given.days))
        database.close()
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
