# Two commands take a fresh machine all the way: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

# the bytecode of the package and of the tests is kept: else each process of each test compiles every file again
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-all docs mutants check bench clean

demo: $(VENV)/.core ## train the tour on the embedded digits and write demo/report.html
	$(BIN)/ancestral study tour --out demo

# one thread a worker: two tests at once on two cores would otherwise wait for each other
test: $(VENV)/.test ## the quick tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: $(VENV)/.test $(VENV)/.notebook ## all tests, the execution of the notebooks included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

docs: $(VENV)/.docs ## the handbook: docs/_build/index.html; where Chromium and axe are installed, its accessibility is checked
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build
	$(BIN)/python scripts/accessibility.py docs/_build

mutants: $(VENV)/.test ## deliberate mistakes, one by one, each of which the tests must catch (about half an hour of one core)
	$(BIN)/python scripts/mutants.py

# only some workloads: make bench ONLY="vae made"; fewer rounds, one thread: make bench FLAGS=--quick
bench: $(VENV)/.core ## speed beside plain PyTorch, other packages and the products alone: benchmarks/results (needs a quiet machine)
	$(BIN)/python -m benchmarks --peers $(FLAGS) $(ONLY)

check: $(VENV)/.dev ## style, types and the layers
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/project/test_layers.py

# torch by itself and first, by its exact pin: a plain `torch` would bring several GB of GPU libraries
$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.notebook: $(VENV)/.core
	$(PIP) --editable '.[notebook]'
	touch $@

$(VENV)/.docs: $(VENV)/.core
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --editable '.[dev]'
	touch $@

clean: ## forget the environment, the demo and the built handbook
	rm -rf $(VENV) demo docs/_build
