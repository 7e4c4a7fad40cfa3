# Two commands take a fresh machine all the way: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-all check clean

demo: $(INSTALLED) ## train the tour on the embedded digits and write demo/report.html
	$(BIN)/ancestral study tour --out demo

test: $(INSTALLED) ## the quick tests
	$(BIN)/python -m pytest -n auto -m "not slow"

test-all: $(INSTALLED) ## all tests
	$(BIN)/python -m pytest -n auto

check: $(INSTALLED) ## style, types and the import floors
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_floors.py

# torch first and by its exact pin: a plain `torch` would bring several GB of GPU libraries
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	touch $(INSTALLED)

clean: ## forget the environment and the demo
	rm -rf $(VENV) demo
