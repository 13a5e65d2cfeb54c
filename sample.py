"""Runs `prefprior-sample` from a clone: see prefprior/sample.py."""

from prefprior.sample import main

if __name__ == "__main__":
    main()
