# make demo: restore photographs; make test: lint and tests; make test-all: also the
# slow tests, which train, and score on the real data sets where they are present.
# PYTHON picks the interpreter, VENV the environment that is made.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Two at a time: most of a test is TensorFlow tracing on one processor.
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo test test-all lint

demo: $(VENV)/installed
	$(BIN)/xunit-keras demo

test: lint
	$(PYTEST)

test-all: lint
	$(PYTEST) -m ""

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@ $(VENV)/installed
