# `make run` and `make test` do all their own set-up; what they made is not made again.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
PAGE_SOURCES := $(wildcard tusfm/web/src/*) tusfm/web/package-lock.json tusfm/web/build.py

.PHONY: help run test clients check format docs page bench bench-quick chaos simulate services clean
.DEFAULT_GOAL := help

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

run: $(VENV)/installed page ## serve http://127.0.0.1:8000, with nothing installed beside it
	exec $(BIN)/tusfm serve

# Hundreds of processes start: what one of them compiled the others find, though an environment says that nothing is kept.
test: ## run every test, with real services and clients
	@$(MAKE) --no-print-directory -j2 services clients
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadgroup

# After the tools, not beside them: the page may have to get Node into the same environment.
clients: $(VENV)/tools
	@$(MAKE) --no-print-directory page tests/clients/node_modules/.made

check: $(VENV)/tools ## format, lint, types, layers, docker-compose.yml
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml

format: $(VENV)/tools ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/tools docs/_site/node_modules/.made ## build the documentation into site/; a warning is an error
	$(BIN)/python -m tests.documentation.configuration
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html; for the search, serve it: python3 -m http.server --bind 127.0.0.1 --directory site 8001"

page: $(VENV)/page ## build the page at /

bench: $(VENV)/bench services ## measure, side by side with other tus servers; writes docs/performance.md
	$(BIN)/python -m benchmarks $(if $(ROUNDS),--rounds $(ROUNDS))

bench-quick: $(VENV)/bench services ## the same in a few minutes, for four workloads; writes nothing
	$(BIN)/python -m benchmarks --quick

chaos: $(VENV)/tools services ## break everything under clients, for SECONDS (600), by SEED (a new one)
	$(BIN)/python -m tests.chaos.run --seconds $(or $(SECONDS),600) --seed "$(SEED)"

simulate: $(VENV)/tools ## run the engine in virtual time with faults at every call, for SEEDS (500)
	$(BIN)/python -m tests.simulation --seeds 0..$(or $(SEEDS),500)

services: ## get the services and browsers that the tests need, where this machine lets us
	tests/services/install.sh

clean: ## remove what the other words made
	rm -rf $(VENV) build dist site *.egg-info tusfm/web/dist tusfm/web/node_modules tests/clients/node_modules docs/_site/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find benchmarks compat_api migrations tests tusfm -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/made:
	@[ -n "$(PYTHON)" ] || { echo "tusfm needs Python 3.11 or newer; none was found."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Compiled here once, by every core: an environment may say that processes keep nothing, and each start would take a second longer.
$(VENV)/installed: $(VENV)/made setup.cfg constraints.txt
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e .
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib tusfm compat_api || true
	@touch $@

$(VENV)/tools: $(VENV)/installed
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[test,dev,docs]'
	@touch $@

$(VENV)/bench: $(VENV)/tools
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

# A machine that cannot reach npm still gets a server; its page says what is missing.
$(VENV)/page: $(VENV)/installed $(PAGE_SOURCES)
	@$(BIN)/python tusfm/web/build.py && touch $@ || [ -z "$$CI" ] || exit 1

tests/clients/node_modules/.made docs/_site/node_modules/.made: %/node_modules/.made: %/package-lock.json $(VENV)/page
	@$(BIN)/python tests/clients/install.py $* && touch $@ || [ -z "$$CI" ] || exit 1
