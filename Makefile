# make run      install into .venv, without PyTorch, and start the app
# make run-all  the same with PyTorch, for all networks and the methods that train
# make test     install everything, Chromium, strace, Node.js, g++ and mosquitto too if permitted, and run all tests
# make test-fast  nine tests in ten, without browsers and what is slow, in a few minutes
# make coverage   the same, with the lines of the engine that they run
# make lint     run ruff and mypy
# make docs     build the documentation into site/; make docs-serve shows it while it is being written

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Modules are compiled when first imported: most never are, which saves time and 180 MB.
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q --no-compile
STRACE := $(shell command -v strace)
NODE := $(shell command -v node || command -v nodejs)
GXX := $(shell command -v g++)
MOSQUITTO := $(shell PATH="$$PATH:/usr/sbin" command -v mosquitto)
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
# Listens on this machine only; for others: make run ADDRESS=0.0.0.0, but read .streamlit/config.toml first.
APP := $(BIN)/padim app $(if $(ADDRESS),--address $(ADDRESS))

.PHONY: run run-all test test-fast coverage lint docs docs-serve chromium strace nodejs g++ mosquitto

run: $(VENV)/.ready
	$(APP)

run-all: $(VENV)/.ready-all
	$(APP)

# One process per core, up to four; threads in each of them would mostly wait for each other. The tests of a file run in
# one process, as they share fixtures. Files that take long come first (tests/conftest.py).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
FAST := -m "not slow and not browser and not package"

test: $(VENV)/.ready-dev chromium strace nodejs g++ mosquitto
	$(PYTEST)

test-fast: $(VENV)/.ready-dev
	$(PYTEST) $(FAST)

coverage: $(VENV)/.ready-dev
	$(PYTEST) $(FAST) --cov --cov-report=term:skip-covered --cov-report=html:test-artifacts/coverage

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Without the theme's own notice, which is about its successor.
docs: $(VENV)/.ready-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --clean --quiet

docs-serve: $(VENV)/.ready-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8000

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# An editable install: changes in this checkout take effect without installing again.
$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e ".[app]"
	touch $@

$(VENV)/.ready-all: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e ".[all]"
	touch $@ $(VENV)/.ready

$(VENV)/.ready-dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e ".[all,dev]"
	touch $@ $(VENV)/.ready $(VENV)/.ready-all

# Packages are installed only as root on a Debian-like system, where no password is needed.
chromium:
ifeq ($(CHROMIUM),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	else \
	  echo "Chromium was not found, so the browser tests will be skipped. Install it to run them."; \
	fi
endif

strace:
ifeq ($(STRACE),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends strace; \
	else \
	  echo "strace was not found, so outgoing connections are tested for Python's own sockets only."; \
	fi
endif

nodejs:
ifeq ($(NODE),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs; \
	else \
	  echo "Node.js was not found, so the tests of the JavaScript modules will be skipped. Install it to run them."; \
	fi
endif

g++:
ifeq ($(GXX),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends g++; \
	else \
	  echo "g++ was not found, so the example in C++ will not be compiled. Install it to test it."; \
	fi
endif

mosquitto:
ifeq ($(MOSQUITTO),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto openssl; \
	else \
	  echo "mosquitto was not found, so MQTT is not tested with a broker. Install it to test that."; \
	fi
endif
