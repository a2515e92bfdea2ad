PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
DOCS_READY := .venv/docs-ready
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test check docs

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

docs: $(DOCS_READY)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs out/docs
	$(BIN)/python docs/tools/offline.py out/docs
	@echo "open out/docs/index.html"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[app,digits,images,dev]'
	touch $(READY)

$(DOCS_READY): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[digits,images,dev,docs]'
	touch $(DOCS_READY)
