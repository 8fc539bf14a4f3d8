# On a fresh machine with Python and make: `make demo` and `make test` set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TF ?= tensorflow-cpu

.PHONY: demo test engines backends check bench docs site clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[test,check,demo]' '$(TF)>=2.19'
	touch $@

demo: $(VENV)/ready
	$(BIN)/tfnorm demo --output demo --force

test: $(VENV)/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Real clusters on this machine, started and stopped by the tests; Spark needs Java 17.
engines: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -e '.[test,beam,dask,mpi,ray,spark]' 'pyspark[connect]' loky mpich
	$(BIN)/python -m pytest tests/engines

# Keras on JAX and PyTorch, which are large: a step of their own.
backends: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -e '.[test,jax,torch]'
	$(BIN)/python -m pytest tests/test_backends.py

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py tests/test_readme.py

bench: $(VENV)/ready
	for script in fit_memory fit_files transform techniques grouped layer startup; do $(BIN)/python benchmarks/$$script.py || exit 1; done
	$(BIN)/python benchmarks/accuracy.py

docs: $(VENV)/ready
	$(BIN)/python docs/techniques.py
	$(BIN)/python docs/sources.py
	$(BIN)/python docs/exports.py

site: $(VENV)/site
	$(BIN)/python -m sphinx -q -E -W --keep-going docs docs/_build/html

$(VENV)/site: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) demo docs/_build .pytest_cache .mypy_cache .ruff_cache
