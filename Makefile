# Everything starts from a fresh clone: each target builds the environment it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Where the environment forbids bytecode files, each of the many processes would compile all modules again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo up test test-quick pictures bench bench-learning lint style format generated lock code-editor clean

demo: $(VENV)/installed
	$(BIN)/rlsd demo $(ARGS)

up: $(VENV)/installed
	$(BIN)/rlsd up $(ARGS)

test: $(VENV)/installed-dev
	$(BIN)/python -m tests.machine
	$(BIN)/python -m pytest -n auto $(ARGS)

test-quick: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto -m "not browser and not pages and not training and not hostile and not slow" $(ARGS)

# The pictures of docs/screenshots, of runs long enough to show something.
pictures: $(VENV)/installed-dev
	$(BIN)/python -m tests.machine
	RLSD_SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser $(ARGS)

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks $(ARGS)

bench-learning: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.learning $(ARGS)

lint: style
	$(BIN)/python -m pytest -q tests/rules

style: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What follows from other code: tables of methods and settings in docs/ and the form of the page; commands of
# `rlsd`, docs/commands.md and the types of the UI's client from the API's routes.
generated: $(VENV)/installed-dev
	$(BIN)/python -m backend.generators

# torch comes first and alone: pip finds a CPU build where one is provided, and the rest is content with it.
# Verifiers have libraries of their own, in a folder that nothing else imports from.
$(VENV)/installed: pyproject.toml constraints.txt backend/verifiers/libraries.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	$(BIN)/python -m worker.sandbox.environment
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# Writes the versions this environment has; run it after changing what pyproject.toml asks for. What a machine's own
# torch build brings along (CUDA libraries, a local version label) stays out, so that the file fits every machine.
lock: $(VENV)/installed-dev
	$(BIN)/pip freeze --exclude-editable | sed 's/+.*//' | grep -vE '^(nvidia-|triton|cuda-)' > constraints.txt

# The page's code editor is checked in, so that nobody else needs npm.
code-editor:
	npm --prefix frontend/code_editor ci
	npm --prefix frontend/code_editor run build

clean:
	rm -rf $(VENV)
