"""Runs `prefprior-shard` from a clone: see prefprior/shard.py."""

from prefprior.commands import shard

if __name__ == "__main__":
    shard()
