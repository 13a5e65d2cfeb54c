"""Runs `prefprior-shard` from a clone: see prefprior/shard.py."""

from prefprior.shard import main

if __name__ == "__main__":
    main()
