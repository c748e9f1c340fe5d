# Two commands on a fresh machine (Python 3.11, make, git): `make demo` and `make test`.
# Everything is installed into this folder (.venv, .meltano, .demo); nothing outside it is changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Meltano leaves plugin settings under .meltano/run: nobody else on this machine is to read them.
UMASK := umask 077;
VENV := .venv
BIN := $(VENV)/bin
# What draws; it is kept apart, because the SDK imports NumPy where there is one.
PLOTS := .venv-plots
PYTHON ?= python3
export UV_COMPILE_BYTECODE := 1
EXPORT := --frozen --quiet --all-packages --all-extras --no-dev --no-emit-workspace --no-hashes --no-annotate --no-header
# Without bytecode, every process would compile our modules again.
export PYTHONDONTWRITEBYTECODE :=
# Should a plugin ever crash: where.
export PYTHONFAULTHANDLER := 1

.PHONY: help setup plugins demo sandbox test lint types pytest parity settings format soak bench plot lock clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## Install everything into .venv, as the lock file says

$(VENV)/.ready: uv.lock pyproject.toml klaviyo-http/pyproject.toml singer-delivery/pyproject.toml tap-klaviyo/pyproject.toml target-insiderone/pyproject.toml sandbox/pyproject.toml
	@$(UMASK) test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(UMASK) $(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	@$(UMASK) $(BIN)/python -m uv sync --frozen --inexact --quiet
	@touch $@

plugins: setup .meltano/.ready  ## Install the Meltano plugins (each in an environment of its own)

.meltano/.ready: meltano.yml constraints.txt $(VENV)/.ready
	@$(UMASK) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/meltano --log-level=warning install
	@touch $@

demo: plugins  ## Run the three jobs on the sandbox, change data, run again, and show what happened
	@$(UMASK) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python demo/demo.py

sandbox: setup  ## Start the sandbox and its page with the demo's data (stop it with Ctrl-C)
	@$(UMASK) $(BIN)/sandbox serve --profiles 2000 --events 5000

test: lint types pytest  ## Everything that CI runs: lint, format, types, all tests

lint: setup  ## Check format and lint
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .

types: setup  ## Check types, strictly
	@$(BIN)/mypy

# Files are begun in their order, the longest ones first, and stay together, so that their fixtures are set up once.
pytest: plugins  ## Run the tests alone, three files at a time
	@$(UMASK) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

parity: setup  ## Write docs/parity.md from the markers of the tests
	@$(BIN)/python docs/parity.py

settings: setup  ## Write the settings of tap and target into meltano.yml and the READMEs
	@$(BIN)/python docs/settings.py

format: setup  ## Format the code and fix what the linter can fix
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

soak: setup  ## Kill and disturb tap and target at random for MINUTES (default 10); counts what was lost or doubled
	@$(UMASK) $(BIN)/python tests/faults/soak.py --minutes $(or $(MINUTES),10)

bench: $(PLOTS)/.ready  ## Measure speed and memory (20 minutes; writes benchmarks/RESULTS.md), or ONLY="reading quotas"; BEFORE=REV compares
	@$(UMASK) $(PLOTS)/bin/python benchmarks/bench.py $(addprefix --only ,$(ONLY)) $(addprefix --before ,$(BEFORE))

plot: $(PLOTS)/.ready  ## Draw how the tap cuts time into windows (writes docs/windows.svg)
	@$(UMASK) $(PLOTS)/bin/python benchmarks/plot_windows.py

$(PLOTS)/.ready: $(VENV)/.ready
	@$(UMASK) UV_PROJECT_ENVIRONMENT=$(PLOTS) $(BIN)/python -m uv sync --frozen --quiet --python $(BIN)/python --group plots
	@touch $@

lock: setup  ## Write uv.lock and, for the plugins that Meltano installs, constraints.txt
	@$(BIN)/python -m uv lock
	@$(BIN)/python -m uv export $(EXPORT) > constraints.txt

clean:  ## Remove what was installed and produced here; state and data of the pipelines stay
	rm -rf $(VENV) $(PLOTS) .meltano/extractors .meltano/loaders .meltano/.ready .demo
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
