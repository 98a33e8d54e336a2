# make run      installs into .venv, without PyTorch, and starts the app
# make run-all  the same with PyTorch: every network, and the methods that train
# make test     installs everything, fetches Chromium and strace where it may, runs every test
# make test-fast  nine tests in ten, without browsers and what is slow: a few minutes
# make coverage   the same, and which lines of the engine they run
# make lint     ruff and mypy

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Modules are compiled when they are first imported, as most never are: less time, and 180 MB less.
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q --no-compile
STRACE := $(shell command -v strace)
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
# On this machine alone (.streamlit/config.toml); for others: make run ADDRESS=0.0.0.0, and read there what that means.
APP := $(BIN)/padim app $(if $(ADDRESS),--address $(ADDRESS))

.PHONY: run run-all test test-fast coverage lint chromium strace

run: $(VENV)/.ready
	$(APP)

run-all: $(VENV)/.ready-all
	$(APP)

# One process a core, up to four; the tests of a file stay together, and share what they set up. Long files come
# first (tests/conftest.py), whatever their number of tests.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
FAST := -m "not slow and not browser and not package"

test: $(VENV)/.ready-dev chromium strace
	$(PYTEST)

test-fast: $(VENV)/.ready-dev
	$(PYTEST) $(FAST)

coverage: $(VENV)/.ready-dev
	$(PYTEST) $(FAST) --cov --cov-report=term:skip-covered --cov-report=html:test-artifacts/coverage

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The package itself is not copied there: what is changed here runs as it is.
$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e ".[app]"
	touch $@

$(VENV)/.ready-all: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e ".[all]"
	touch $@ $(VENV)/.ready

$(VENV)/.ready-dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e ".[all,dev]"
	touch $@ $(VENV)/.ready $(VENV)/.ready-all

# Only where packages may be installed without asking: as root on a Debian-like system.
chromium:
ifeq ($(CHROMIUM),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	else \
	  echo "Chromium was not found: the browser tests will be skipped. Install it to run them."; \
	fi
endif

strace:
ifeq ($(STRACE),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends strace; \
	else \
	  echo "strace was not found: what leaves the machine is tested for Python's own sockets alone."; \
	fi
endif
