# The verbs of the project. Everything lives in .venv; nothing needs root or environment variables.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: help setup web demo up down view test laws check format gate bench lock clean

help:            ## Show this list
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: $(STAMP)  ## Prepare .venv with the qmachina command in it

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "qmachina needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || uv venv --seed $(VENV) \
	  || { echo "cannot make a virtual environment: install python3-venv or uv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/qmachina warm
	@touch $(STAMP)

web: $(STAMP)    ## Build the browser bundle (quick when nothing changed)
	$(BIN)/python -m serving.build

demo: web        ## From nothing to the running heatmap; ARGS=--no-serve stops after the chain
	$(BIN)/qmachina demo $(ARGS)

up: web          ## Start Dagster and serving, detached
	$(BIN)/qmachina up $(ARGS)

down: $(STAMP)   ## Stop what up or demo started
	$(BIN)/qmachina down --all $(ARGS)

test: web        ## The whole suite
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

laws: $(STAMP)   ## The laws alone, with many examples
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2 tests/laws $(ARGS)

check: $(STAMP)  ## Format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Rewrite sources in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## Ratios against peers; makes their environment under .peers on first use
	$(BIN)/qmachina bench engine $(ARGS)

lock: $(STAMP)   ## Write requirements.lock from what is installed
	@{ echo "# Locked versions that make installs; ranges are in pyproject.toml. Regenerate with: make lock"; \
	   $(BIN)/python -m pip freeze --exclude-editable; } > requirements.lock

clean:           ## Remove the environment and build products, never the lake
	rm -rf $(VENV) .peers serving/static serving/web/node_modules build dist
