# Everything a fresh clone needs, in two commands: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help demo test check ui lint clean

# Bytecode is kept even where the environment says not to, as many containers do: without it every process compiles PyTorch and vLLM again, some
# thousand modules, for ten seconds and more.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
BIN := .venv/bin
PINS := pyproject.toml constraints.txt constraints-cpu.txt overrides.txt Makefile
GPU := $(shell nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1)
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt $(if $(GPU),,--constraints constraints-cpu.txt --overrides overrides.txt)

KERNELS := $(shell find infinity_assets -name '*kernels.py')
# One process more than there are cores, because some tests wait for servers, browsers and time limits; no more than four,
# because each takes half a gigabyte.
PYTEST := $(BIN)/python -m pytest --numprocesses $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() + 1))')

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

# So many of the 424 sample rows are shown to models, and so many become seeds, that two slow cores are done in five minutes. The environment has
# precedence.
demo: export INFINITY_SCORING__MAX_ROWS ?= 64
demo: export INFINITY_CHAT__SEEDS__MAX_SEEDS ?= 24
demo: .venv/run data/models/.fetched  ## the whole graph on the sample sources, with the embedded models
	$(BIN)/infinity run
	$(BIN)/infinity check --quiet

test: .venv/test  ## every test
	@$(MAKE) --no-print-directory -j2 data/models/.fetched .venv/browser
	$(PYTEST)

check: .venv/test  ## what to run before a commit: lint, types, and every test that needs neither an engine nor the whole graph
	@$(MAKE) --no-print-directory data/models/.fetched
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/pyrefly check --summary=none
	$(PYTEST) -m "not engine and not graph"

lint: .venv/test  ## ruff, the layers of imports, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/pyrefly check --summary=none

ui: .venv/run  ## the Dagster web UI, with sensors and the schedule on
	DAGSTER_HOME="$$PWD" exec $(BIN)/dagster dev

clean:  ## forget everything that was made; sources, benchmarks, models and frozen vocabularies stay
	rm -rf data/lake data/catalog data/responses data/release data/.dagster data/metadata.duckdb data/pool.json

# Loops and modules are compiled beside the download of the models, so that the first run does not wait for them.
data/models/.fetched: .venv/run $(KERNELS)
	@echo "fetching the models, and compiling what the first run would wait for"
	$(BIN)/python -m infinity_assets.compilation kernels & kernels=$$!
	$(BIN)/infinity models fetch
	$(BIN)/python -m infinity_assets.compilation modules
	wait $$kernels
	touch $@

# --- installing -----------------------------------------------------------------------------------------------------------------------

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	if ! ldconfig -p 2>/dev/null | grep -q libnuma.so.1 || ! command -v g++ >/dev/null; then
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then
	    echo "installing libnuma1 and g++ with apt-get"; apt-get -qq update && apt-get -qq install -y libnuma1 g++ >/dev/null
	  else
	    echo "libnuma1 (for vLLM on a CPU) and g++ (for hnswlib) are missing: sudo apt-get install libnuma1 g++"; exit 1
	  fi
	fi
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# vLLM's CUDA build where there is an NVIDIA GPU, else its CPU build, which wants the CPU build of PyTorch: from pip's own find-links folder if
# there is one with it, else from PyTorch's CPU index, which uv knows.
.venv/run: .venv/bin/uv $(PINS)
	@if [ -n "$(GPU)" ]; then
	  echo "installing with vLLM's CUDA build for $(GPU)"
	  $(INSTALL) --editable '.[gpu]'
	else
	  links=$$($(BIN)/python -m pip config get global.find-links 2>/dev/null || true)
	  if ls $$links/torch-*+cpu*.whl >/dev/null 2>&1; then torch="--find-links $$links"; else torch="--torch-backend cpu"; fi
	  echo "no NVIDIA GPU here: installing with vLLM's CPU build"
	  $(INSTALL) $$torch --editable '.[cpu]'
	fi
	touch $@

.venv/test: .venv/run
	@$(INSTALL) --editable '.[test]'
	touch $@

.venv/browser: .venv/test
	@if ! command -v chromium >/dev/null; then
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then
	    echo "installing chromium with apt-get, for the browser test"; apt-get -qq update && apt-get -qq install -y chromium >/dev/null
	  else
	    echo "the browser test wants chromium: sudo apt-get install chromium"
	  fi
	fi
	touch $@
