# Each target creates .venv on first use; it needs only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# conf/ is installed as prefprior.conf, so an editable install needs an import hook, and setuptools prints a general warning.
EDITABLE := PYTHONWARNINGS="ignore:Editable installation:UserWarning"

.PHONY: demo test crash check docs locked lock clean help

help:
	@echo "make demo    train on the built-in world, evaluate, and make galleries for unseen users"
	@echo "make test    the whole test suite"
	@echo "make crash   interrupts commands, or fills the disk, at each file operation; kills the studio under load"
	@echo "make check   ruff and mypy"
	@echo "make locked  .venv with the packages of requirements.lock, and no others"
	@echo "make lock    requirements.lock with the newest versions that setup.cfg allows"
	@echo "make docs    the documentation as a site, in site/"
	@echo "make clean   removes .venv, runs/ and embeddings/"

# Touched last, so that an interrupted install starts again.
$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(EDITABLE) $(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/ready
	$(BIN)/python train.py
	$(BIN)/python evaluate.py
	$(BIN)/python sample.py
	$(BIN)/python -m prefprior.demo

test: $(VENV)/ready
	$(BIN)/python -m pytest

crash: $(VENV)/ready
	$(BIN)/python -m pytest -m crash --dist worksteal tests/crash tests/studio/test_killed.py

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What CI installs: the exact version and files of each package in requirements.lock.
locked:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(EDITABLE) $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $(VENV)/ready

lock: $(VENV)/ready
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile setup.cfg --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--custom-compile-command "make lock" --output-file requirements.lock --quiet

docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) runs embeddings site
