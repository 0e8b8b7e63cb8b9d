# Everything a newcomer, a developer and CI need; each target sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.installed
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CHROMIUM := /usr/bin/chromium
STRACE := /usr/bin/strace
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)
SCALE ?= small
# Two processes; the tests of a file stay together and share what they have made. Their order is that
# of tests/conftest.py.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
# The tests start many processes, each of which would otherwise compile all modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all lint docs bench shards peers lock clean

demo: $(RUNTIME)
	$(BIN)/segment1b run
	$(BIN)/segment1b page --out segment1b-data/report.html --replace

test: $(STAMP) $(CHROMIUM) $(STRACE)
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow" --hypothesis-profile=quick

test-all: $(STAMP) $(CHROMIUM) $(STRACE)
	$(BIN)/pytest $(SIDE_BY_SIDE)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/segment1b contracts check

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html in a browser; search works from the disk too"

bench: $(STAMP)
	$(BIN)/python -m benchmarks --scale $(SCALE)

shards: $(STAMP)
	$(BIN)/python -m benchmarks.shards --scale $(SCALE)

peers: $(STAMP)
	$(BIN)/python -m benchmarks.peers

$(RUNTIME): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(STAMP): $(RUNTIME) requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	touch $@

# The tests look at pages in a real browser.
$(CHROMIUM):
	$(SUDO) apt-get update -qq
	$(SUDO) apt-get install -y -qq chromium chromium-driver

# The tests make system calls fail.
$(STRACE):
	$(SUDO) apt-get update -qq
	$(SUDO) apt-get install -y -qq strace

# Needs uv; run it after changing dependencies in pyproject.toml.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:
	$(LOCK) --upgrade --extra dev pyproject.toml -o requirements-dev.lock
	sed '/--hash/d; s/ \\$$//' requirements-dev.lock | \
		$(LOCK) --constraints - --extra build pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
