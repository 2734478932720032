# The two commands that matter: `make repro` and `make test`. Both set everything up first.
PYTHON ?= python3
PORT ?= 5000
JOBS ?= 1
UV_VERSION := 0.13.9
VENV := .venv
# relative, since make would take a path with a space for two
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# whatever project surrounds the shell that calls make, stages belong to this one
unexport DVC_ROOT DVC_EXP_NAME
# without cached bytecode every stage would compile torch and mlflow again, for 15 seconds
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup repro table test check format ui bench mutants lock clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.installed  ## Create .venv with the pinned packages

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; call make PYTHON=python3.12, for example."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

repro: setup  ## Run the pipeline: videos, frames, splits, training, report
	dvc repro
	@echo "Report: reports/index.html   Figures: reports/metrics.json   Runs: make ui"

table: setup  ## Compare the methods of table.yaml (make table JOBS=2 runs two at once)
	dae-aqa table --jobs $(JOBS)

test: setup  ## Run the tests
	pytest --numprocesses 2 --dist loadfile

check: setup  ## Lint, format check and strict types
	ruff check .
	ruff format --check .
	mypy

format: setup  ## Format the code
	ruff format .
	ruff check --fix .

ui: setup  ## Open the MLflow UI on http://127.0.0.1:5000 (make ui PORT=5001)
	dae-aqa ui --port $(PORT)

bench: setup  ## Run the benchmarks (minutes to hours; writes benchmarks/results/)
	for script in $(filter-out %/mutants.py,$(wildcard benchmarks/[a-z]*.py)); do \
	  python $$script || exit 1; done

mutants: setup  ## Try the tests on small mistakes in the code (half an hour)
	python benchmarks/mutants.py

lock: setup  ## Renew requirements.lock from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --upgrade --group dev pyproject.toml --output-file requirements.lock

clean:  ## Remove the environment and caches, not the data
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache
