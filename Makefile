# Every target does its own setup: a fresh clone needs only Python 3.11+ and make.
# Another interpreter: `make test PYTHON=python3.12`. Changing the interpreter recreates .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Parallel test processes: a number, or auto for one per core. Most tests wait more than they work, so the default is
# three per core. `make test JOBS=0` runs the tests one by one, which gives the most readable output. ARGS are passed to
# pytest: `make test ARGS="-k ledger"`.
JOBS   ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) * 3 )))
ARGS   ?=

# The stamp records the Python version and the pins that .venv was made with; if either changes, it is made again.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
STAMP   := $(VENV)/.installed-$(VERSION)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.DEFAULT_GOAL := help
.PHONY: help demo dev test lint format docs bench bench-check bench-report chaos chaos-hosts clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("crm-sweep needs Python 3.11 or newer, not " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python$(VERSION) || $(PYTHON) -m venv --clear $(VENV)
	rm -f $(VENV)/.installed*
	$(INSTALL) '.[dev]'
	@touch $@

$(STAMP)-bench: $(STAMP)
	$(INSTALL) '.[dev,bench]'
	@touch $@

$(STAMP)-report: $(STAMP)
	$(INSTALL) '.[dev,bench,report]'
	@touch $(STAMP)-bench $@

dev: $(STAMP) ## Set up .venv with the program and the development tools

demo: $(STAMP) ## Clean up 20,000 simulated contacts and check the ledger against the portal
	$(BIN)/crm-sweep demo

# The benchmarks and their pictures are tested as well, so peers and plotting library have to be installed.
test: $(STAMP)-report ## Run every test: unit, integration, acceptance
	tests/tools.sh
	$(BIN)/pytest -n $(or $(JOBS),auto) --dist worksteal $(ARGS)

lint: $(STAMP) ## Check formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP) ## Format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Bring the parts of the documentation that are made from code up to date
	$(BIN)/python -m tools

bench: $(STAMP)-bench ## Measure speed, memory and storage side by side with peers
	$(BIN)/python -m bench

bench-check: $(STAMP)-bench ## Compare the speed with that of the bare loop, and fail if the ratio has fallen (2 minutes)
	$(BIN)/python -m bench check $(ARGS)

bench-report: $(STAMP)-report ## Draw the tables of docs/benchmarks.md again
	$(BIN)/python -m bench report $(ARGS)

chaos: $(STAMP) ## Kill, freeze and mislead everything for a few minutes, then check every contact
	$(BIN)/python -m chaos $(ARGS)

chaos-hosts: $(STAMP) ## The same on more than one machine: fail-overs, partitions, delays
	$(BIN)/python -m chaos.hosts $(ARGS)

clean: ## Remove everything that make created
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
