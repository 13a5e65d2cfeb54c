"""How the commands are called: `python train.py` in a clone, `prefprior-train` where the package is installed."""

import re
import sys
from pathlib import Path

COMMANDS = ("train", "sample", "evaluate", "embed", "shard", "elicit", "serve")
_IN_A_CLONE = re.compile(rf"\bpython ({'|'.join(COMMANDS)})\.py\b")


def as_called(text: str) -> str:
    """A text with its commands spelled as the running one was.

    Code, documentation and help pages spell them as in a clone. Both spellings are equally long, so columns stay.
    """
    installed = Path(sys.argv[0]).stem.startswith("prefprior-")
    return _IN_A_CLONE.sub(r"prefprior-\1", text) if installed else text
