"""Runs `prefprior-embed` from a clone: see prefprior/embed.py."""

from prefprior.commands import embed

if __name__ == "__main__":
    embed()
