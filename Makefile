# Lugsail's commands. Everything runs from a clean clone with Python 3.11+ and make alone; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test unit e2e lint types bench goldens images docs clean

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv and install Lugsail into it

$(STAMP): pyproject.toml scripts/install
	@PYTHON="$(PYTHON)" scripts/install $(VENV)
	@touch $@

demo: $(STAMP) ## start the mesh with Bookinfo; Ctrl-C stops all of it
	@$(BIN)/lugsail up

test: lint types ## everything: style, types, import contracts, unit tests, real traffic on both proxies
	@scripts/lanes $(BIN)/pytest

lint: $(STAMP) ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

unit: $(STAMP) ## tests without processes
	$(BIN)/pytest -m "not e2e" tests

e2e: $(STAMP) ## real processes, real traffic, both proxies
	$(BIN)/pytest -m e2e tests

bench: $(STAMP) ## CPU per request beside Envoy, cost of telemetry, spans a second, push time, memory, start-up
	$(BIN)/python -m loadtests.bench

goldens: $(STAMP) ## write the translation goldens anew
	$(BIN)/python -m tests.controlplane.translate.regenerate

images: ## the container images, all of them; says what each adds on disk
	@scripts/images

docs: $(STAMP) ## write the generated reference pages anew
	$(BIN)/python -m lugsail.api.fields > docs/reference/istio-fields.md
	$(BIN)/python -m lugsail.cli.reference > docs/reference/cli.md

clean: ## remove what was built; a running mesh is stopped first
	-@[ -x $(BIN)/lugsail ] && $(BIN)/lugsail down 2>/dev/null || true
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench-results
