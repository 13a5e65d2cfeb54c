"""Runs `prefprior-embed` from a clone: see prefprior/embed.py."""

from prefprior.embed import main

if __name__ == "__main__":
    main()
