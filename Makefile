# Two commands are all a newcomer needs: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint docs clean

run: $(VENV)/installed
	@$(BIN)/saqia demo

test: $(VENV)/installed $(VENV)/clients/installed
	@$(BIN)/python -m pytest -n 2 -p no:randomly  # the same order for everybody; `.venv/bin/pytest` shuffles it

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed
	$(BIN)/typer flows.cli utils docs --name saqia --title "The saqia command" --output docs/cli.md

# Nothing installed yet, or the lock is newer than what is: install exactly the lock.
$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Saqia needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python3 cannot make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing the locked packages into $(VENV) (a few minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -m flows.prefect_database
	@touch $@

# Clients that the tests ask the service through and that need another openai than the lock has.
$(VENV)/clients/installed: tests/serving/others/requirements.lock $(VENV)/installed
	@$(PYTHON) -m venv $(VENV)/clients
	@echo "Installing clients for the tests into $(VENV)/clients (a minute, once)"
	@$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check -r tests/serving/others/requirements.lock
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
