# Every target does its own set-up: a fresh clone needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests run in parallel; override with `make test JOBS=1` when reading their output.
JOBS   ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo dev test lint format bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

# The stamps say which set of packages is installed; a change to the pins installs again.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("crm-sweep needs Python 3.11 or newer, not " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

dev: $(VENV)/.installed ## Set up .venv with the program and the developers' tools

demo: $(VENV)/.installed ## One cleanup of 20,000 simulated contacts, checked against the portal
	$(BIN)/crm-sweep demo

test: $(VENV)/.installed ## Run every test: unit, integration, acceptance
	$(BIN)/pytest -n $(JOBS)

lint: $(VENV)/.installed ## Check formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed ## Format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-bench ## Measure speed, memory and storage side by side with the peers
	$(BIN)/python -m bench

clean: ## Remove everything that make created
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
