"""Runs `prefprior-serve` from a clone: see prefprior/serve.py."""

from prefprior.commands import serve

if __name__ == "__main__":
    serve()
