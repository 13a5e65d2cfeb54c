"""Runs `prefprior-evaluate` from a clone: see prefprior/evaluate.py."""

from prefprior.commands import evaluate

if __name__ == "__main__":
    evaluate()
