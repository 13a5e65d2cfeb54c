"""Runs `prefprior-elicit` from a clone: see prefprior/elicit.py."""

from prefprior.commands import elicit

if __name__ == "__main__":
    elicit()
