PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test check

demo: $(READY)
	$(BIN)/inputopt demo --out out

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest  # one thread for each of the two workers

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 0 tests/test_structure.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[app,digits,images,dev]'
	touch $(READY)
