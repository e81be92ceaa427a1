# `make demo` and `make test` need Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The phantom of the demonstration: gated or nongated.
PRESET ?= gated

.PHONY: demo setup test lint format check

demo: $(VENV)/.ready
	$(BIN)/python -m tqgd_jax.phantom --out runs/phantom-$(PRESET) --preset $(PRESET) \
	    --patients 24 --slices 20
	$(BIN)/python train.py --config=configs/demo.py --workdir=runs/demo-$(PRESET) \
	    --config.data.dir=runs/phantom-$(PRESET)
	$(BIN)/python eval.py --workdir=runs/demo-$(PRESET)
	@echo "The report, on patients that were not trained on: runs/demo-$(PRESET)/eval-test/report.html"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.dev: $(VENV)/.ready requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

test: $(VENV)/.ready
	$(BIN)/python -m pytest

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

check: lint test
