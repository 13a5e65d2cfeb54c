"""Runs `prefprior-evaluate` from a clone: see prefprior/evaluate.py."""

from prefprior.evaluate import main

if __name__ == "__main__":
    main()
