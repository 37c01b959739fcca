# make demo: restore photographs; make test: lint and tests; make test-all: also the
# slow tests, which train, and score on the real data sets where they are present;
# make lock: the newest versions that pyproject.toml allows, into requirements/dev.txt;
# make newest: installs the newest there are, beyond its upper bounds too;
# make docs: the documentation, into build/docs; make links: follows its links to others;
# make web: the page that restores in the browser, into web/dist; needs Node.js.
# PYTHON picks the interpreter, VENV the environment that is made.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet
LOCK = requirements/dev.txt
# Two at a time: most of a test is TensorFlow tracing on one processor.
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo docs links test test-all web lint lock newest

demo: $(VENV)/installed
	$(BIN)/xunit-keras demo

test: lint
	$(PYTEST)

test-all: lint
	$(PYTEST) -m ""

docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

links: $(VENV)/installed-dev
	$(BIN)/sphinx-build -q -b linkcheck docs build/links

web:
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run build

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

lock: $(VENV)/installed-dev
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--extra dev --custom-compile-command "make lock" -o $(LOCK) pyproject.toml

newest: $(VENV)/installed-dev
	$(BIN)/uv pip install --quiet --python $(BIN)/python --upgrade \
		--overrides requirements/newest.txt -e ".[dev]"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/installed: pyproject.toml $(LOCK) | $(VENV)/bin/python
	$(PIP) -c $(LOCK) -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml $(LOCK) | $(VENV)/bin/python
	$(PIP) -r $(LOCK)
	$(PIP) --no-deps -e .
	touch $@ $(VENV)/installed
