"""Runs `prefprior-train` from a clone: see prefprior/train.py."""

from prefprior.train import main

if __name__ == "__main__":
    main()
