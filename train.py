"""Runs `prefprior-train` from a clone: see prefprior/train.py."""

from prefprior.commands import train

if __name__ == "__main__":
    train()
