# One environment for everything: `make demo`, `make test` and `make bench` share .venv, which needs
# nothing but make and a Python 3.11 to 3.13. Every target may be run twice.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WHAT   := --constraint constraints.txt --editable '.[all,dev]'

# mypy judges what every other file leans on.
TYPED  := $(wildcard headstart/core headstart/errors.py headstart/version.py \
            headstart/__init__.py headstart/api.py)

.DEFAULT_GOAL := help
.PHONY: help venv demo test bench format clean

help:
	@echo "make demo    transfer on small data, a report at the end"
	@echo "make test    format, lint, types, tests: what CI runs"
	@echo "make bench   side by side with peers, prints ratios"
	@echo "make format  rewrites files as the formatter wants them"
	@echo "make venv    only the environment, in $(VENV)"
	@echo "make clean   removes the environment and what the targets left"

venv: $(STAMP)

# The stamp is written last, so an installation that broke off is taken up again. uv takes half the time
# of pip, and reads no settings of pip's: where it finds no index, pip does the work.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "headstart needs Python 3.11 to 3.13; this is %d.%d. Try: make PYTHON=python3.12" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt uv && \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode $(WHAT) || $(PIP) $(WHAT)
	@touch $@

demo: $(STAMP)
	$(BIN)/python scripts/demo.py

test: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

bench: $(STAMP)
	$(BIN)/python -m benchmarks

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist demo bench-out .pytest_cache .mypy_cache .ruff_cache .hypothesis
