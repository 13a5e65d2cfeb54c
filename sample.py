"""Runs `prefprior-sample` from a clone: see prefprior/sample.py."""

from prefprior.commands import sample

if __name__ == "__main__":
    sample()
