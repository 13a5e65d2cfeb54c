# Each target makes .venv on first use; nothing else needs to be installed than Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check clean help

help:
	@echo "make demo    train on the built-in world, then make and measure galleries for unseen people"
	@echo "make test    the whole test suite"
	@echo "make check   ruff and mypy"
	@echo "make clean   removes .venv, runs/ and embeddings/"

# Written last, so that an interrupted install is begun again.
$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/ready
	$(BIN)/python train.py
	$(BIN)/python evaluate.py
	$(BIN)/python sample.py
	$(BIN)/python -m prefprior.demo

test: $(VENV)/ready
	$(BIN)/python -m pytest

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) runs embeddings
