"""Trains the built-in world's weights from scratch, or measures those that ship. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # from a clone, without an installed package

from prefprior.world.build.command import main

if __name__ == "__main__":
    main()
