# `make demo` and `make test` need Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The phantom of the demonstration: gated or nongated.
PRESET ?= gated

# A study of nine networks, as small as can be: it shows that everything works, no result.
STUDY := runs/study-smoke

.PHONY: demo study weights setup dicom export-tools test lint format check

demo: $(VENV)/.ready
	$(BIN)/tqgd phantom --out runs/phantom-$(PRESET) --preset $(PRESET) \
	    --patients 24 --slices 20
	$(BIN)/python train.py --config=configs/demo.py --workdir=runs/demo-$(PRESET) \
	    --config.data.dir=runs/phantom-$(PRESET)
	$(BIN)/python eval.py --workdir=runs/demo-$(PRESET)
	@echo "The report, on patients that were not trained on: runs/demo-$(PRESET)/eval-test/report.html"

# So few steps are done sooner by programs that are compiled quickly.
study: export XLA_FLAGS := --xla_backend_optimization_level=0 \
    --xla_llvm_disable_expensive_passes=true
study: $(VENV)/.ready
	$(BIN)/tqgd phantom --out runs/phantom-smoke --patients 8 --slices 8
	$(BIN)/tqgd study run --config=paper:smoke --data gated=runs/phantom-smoke --out $(STUDY)
	$(BIN)/tqgd study report --out $(STUDY)

# The detector that ships, made again (docs/shipped.md): two hours on two cores.
weights: $(VENV)/.ready
	$(BIN)/tqgd phantom --out runs/phantom-diverse --preset diverse \
	    --patients 360 --slices 20
	$(BIN)/python train.py --config=configs/shipped.py --workdir=runs/shipped
	rm -f tqgd_jax/weights/shipped.safetensors
	$(BIN)/tqgd export --workdir runs/shipped --half --threshold 0.08 \
	    --out tqgd_jax/weights/shipped.safetensors

setup: $(VENV)/.ready

# uv installs in a fraction of pip's time, where it is there.
UV := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet)

$(VENV)/.ready: requirements.txt pyproject.toml
	$(if $(UV),$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
	$(INSTALL) -r requirements.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.ready requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	touch $@

# What `tqgd predict --dicom` needs.
dicom: $(VENV)/.ready
	$(INSTALL) -r requirements-dicom.txt

# For `tqgd export --format=onnx`. jax2onnx asks for an older Orbax than training has, and
# uses nothing of it: it comes without its requirements.
export-tools: $(VENV)/.export

$(VENV)/.export: $(VENV)/.ready requirements-export.txt
	$(INSTALL) -r requirements-export.txt
	$(INSTALL) --no-deps 'jax2onnx==0.17.*'
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
