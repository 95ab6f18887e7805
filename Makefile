# Every target prepares what it needs and does only what is left to do; see `make help`.
# The work is in tools/ (python3 -m tools), which needs nothing but Python.

PYTHON ?= python3
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
# Options for pytest, such as ARGS='-k exec -x'.
ARGS ?=
# How many processes share the tests (tests/support/sharing_out.py); 0 for none but pytest itself.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test vm-test soak check kernel guest bench dev clean distclean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, then run a container in a virtual machine
	@$(PYTHON) -m tools run

test: ## install what the tests need, then run them (ARGS='-k name' to choose)
	@$(PYTHON) -m tools test
	@$(PYTEST) --ignore=tests/checks -m 'not soak' -n $(WORKERS) $(ARGS)

vm-test: ## run only the tests that start virtual machines
	@$(PYTHON) -m tools test
	@$(PYTEST) --ignore=tests/checks -m 'vm and not soak' -n $(WORKERS) $(ARGS)

soak: ## run the long tests, such as 200 cold boots
	@$(PYTHON) -m tools test
	@$(PYTEST) --ignore=tests/checks -m soak $(ARGS)

check: ## run linters, types, layering, size limits and generator checks
	@$(PYTHON) -m tools check
	@$(PYTEST) tests/checks $(ARGS)

kernel: ## build the guest kernel, unless the cache has it
	@$(PYTHON) -m tools kernel

guest: ## build hyperstart, the guest's init
	@$(PYTHON) -m tools guest

bench: ## measure against docker and podman; figures and chart in bench/ (ARGS=--help)
	@$(PYTHON) -m tools bench
	@$(VENV)/python -m tests.bench $(ARGS)

dev: ## run a throw-away daemon in the foreground, with folders of its own
	@$(PYTHON) -m tools dev
	@$(VENV)/python -m tools.dev $(ARGS)

clean: ## remove what was built in this checkout (the kernel stays in the cache)
	rm -rf build bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests tools protocol guest -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## also remove the virtual environment
	rm -rf .venv
