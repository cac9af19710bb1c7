# `make demo` and `make test` are all that a fresh machine with Python 3.11 or newer needs; each installs what it lacks.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; exit; }; done)
BIN := .venv/bin
READY := .venv/ready
WORKERS ?= auto

# Threads that contend for a core are many times slower than one; tests run side by side instead.
export OMP_NUM_THREADS := 1

.PHONY: help demo test lint secrets audit alerts types docs documented reference pins bench-env clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: $(READY)  ## From data to explained slates, with public commands only
	@$(BIN)/fourfold demo

test: $(READY)  ## Run the tests
	@$(BIN)/pytest -n $(WORKERS) --maxprocesses 8

lint: $(READY)  ## Check style and the direction of imports
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports

secrets: $(READY)  ## Look for keys and passwords that were committed
	@git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook

audit:  ## Look up known weaknesses of the pinned dependencies, which needs the internet
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/pip install --quiet pip-audit
	@.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

types: $(READY)  ## Check types
	@$(BIN)/mypy

alerts:  ## Check the alert rules and their tests with promtool
	@command -v promtool >/dev/null || { echo "error: promtool is missing; on Debian and Ubuntu: apt install prometheus" >&2; exit 1; }
	@promtool check rules deploy/prometheus/alerts.yml
	@promtool test rules deploy/prometheus/alerts.test.yml

docs: $(READY)  ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

documented: $(READY)  ## Run the commands of the README and of the documentation
	@$(BIN)/python tools/run_docs.py README.md docs/tutorial.md docs/data.md docs/operations.md

reference: $(READY)  ## Write the command line's page anew
	@$(BIN)/python -m tools.cli_reference

pins: $(READY)  ## Resolve all dependencies anew into constraints.txt
	@$(BIN)/python tools/pin.py

bench-env:  ## Install the peers that benchmarks compare with into .venv-bench
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install --quiet --constraint benchmarks/constraints.txt --requirement benchmarks/requirements.txt

clean:  ## Remove what was built: .venv, caches, site/
	@rm -rf .venv .venv-audit .venv-bench site build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info

$(READY): pyproject.toml constraints.txt tools/install.py
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer was found; name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) tools/install.py .venv
	@touch $@
