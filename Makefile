# make run   installs into .venv and starts the app
# make test  installs, fetches Chromium and strace where it may, runs every test
# make lint  ruff and mypy

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STRACE := $(shell command -v strace)
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: run test lint chromium strace

# On this machine alone (.streamlit/config.toml); for others: make run ADDRESS=0.0.0.0, and read there what that means.
run: $(VENV)/.ready
	$(BIN)/streamlit run app.py $(if $(ADDRESS),--server.address $(ADDRESS))

# One process a core, up to four; the tests of a file stay together, and share what they set up.
test: $(VENV)/.ready-dev chromium strace
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The backbone is exported once here, so that the first fit in the app does not wait for it.
$(VENV)/.ready: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	$(BIN)/python -W ignore -c "from padim import backbones as b; b.onnx_bytes(b.EFFICIENTNET_LITE0.name, b.EFFICIENTNET_LITE0.default_layers)"
	touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	touch $@

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
