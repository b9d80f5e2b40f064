# `make` alone prints this help. Every target is one line that calls something tested.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Processes of tests, each with whole folders: see tests/conftest.py.
JOBS ?= 2
PARALLEL := -n $(JOBS) --no-loadscope-reorder

help:  ## Print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

.venv/.installed: requirements.txt pyproject.toml
	PYTHON=$(PYTHON) sh .ci/install

install: .venv/.installed  ## Install the locked environment into .venv (uv where present, else venv and pip)

demo: install  ## Run the whole loop on real data under the real scheduler; ends with a summary
	$(BIN)/sluice demo

check: install lint  ## Run all checks, and the tests that need no tables, ledger or database: what to run between two edits
	$(BIN)/python -m pytest $(PARALLEL) -q -m fast

test: install lint  ## Run all checks, and all tests but the long ones
	$(BIN)/python -m pytest $(PARALLEL) -m "not long"

test-all: install lint  ## Run all checks and all tests
	$(BIN)/python -m pytest $(PARALLEL)

lint: install  ## ruff, import rules and types
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check . && $(BIN)/lint-imports && $(BIN)/python -m mypy

up: install  ## Start Airflow and the mail sink; prints the URL and the login
	$(BIN)/sluice up

down: install  ## Stop what `make up` started
	$(BIN)/sluice down

test-docker: install  ## Build the image and run docker/compose.yml, with podman or Docker; skips without either
	$(BIN)/python -m pytest -p no:randomly docker

test-spark: install  ## Derived tables by Spark, on a standalone master with two workers, in .venv-spark; needs Java 17
	PYTHON=$(PYTHON) sh .ci/install-spark
	.venv-spark/bin/python -m pytest -p no:randomly tests/spark

supply-chain: install  ## Advisories, licences, bill of materials, secrets: 0 all good, 1 found, 3 not all could be checked
	$(BIN)/sluice supply-chain

bench: install  ## Measure, as ratios against a floor in the same run
	$(BIN)/python -m benchmarks

docs: install  ## Build the documentation site into site/; it loads nothing from elsewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

mutants: install  ## Change the code in one place at a time and name the changes that no test sees; takes hours
	$(BIN)/python tests/mutants

lock:  ## Compile requirements.txt and docker/*.txt from pyproject.toml (needs uv)
	sh .ci/lock

clean:  ## Stop what runs, and remove all local state (tables, ledger, Airflow's database, mails, reports) under SLUICE_HOME
	if [ -x $(BIN)/sluice ]; then $(BIN)/sluice down; fi
	rm -rf "$${SLUICE_HOME:-var}" site

.PHONY: help install demo check test test-all test-docker test-spark lint up down supply-chain bench docs mutants lock clean
