# Two commands: `make book` and `make test`. Each makes .venv first if it has to.
PROFILE ?= demo
PYTHON ?= python3
# test processes, each on one thread; a file of tests stays in one, for its tests share what they make
TESTS := -n auto --dist loadfile
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: book paper test test-slow test-library bench lint clean

book: $(READY)
	$(BIN)/dhs book --profile $(PROFILE)

# the manuscript of paper A from a run of `make book`, or without one from the stored experiments alone; a PDF where there is a TeX
paper: $(READY)
	$(BIN)/python -m dhs.book.paper runs/$(PROFILE) --out _build/paper

test: $(READY)
	$(MAKE) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS) -m "not slow"

test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS)

# the library alone, without the book's tools: what the oldest supported dependencies are tested by
LIBRARY := tests/stats tests/survey tests/injection tests/datasets tests/models tests/validation tests/test_storage.py \
  tests/test_encoding.py tests/test_config.py
PYTHON_TESTS ?= $(BIN)/python
test-library:
	OMP_NUM_THREADS=1 $(PYTHON_TESTS) -m pytest $(TESTS) -m "not slow" $(LIBRARY)

# side by side with peers, on an idle machine; peers that are not installed are left out (pip install caustics)
bench: $(READY)
	for name in $(filter-out plan_on_gpu leak%,$(basename $(notdir $(wildcard benchmarks/*.py)))); do \
	  $(BIN)/python benchmarks/$$name.py --json benchmarks/results/$$name.json || exit 1; done

lint: $(READY)
	$(BIN)/ruff check dhs tests notebooks benchmarks
	$(BIN)/ruff format --check --quiet dhs tests notebooks benchmarks
	$(BIN)/lint-imports
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	touch $(READY)

clean:
	rm -rf _build runs
