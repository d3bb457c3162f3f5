# Everything below sets itself up in .venv; it needs Python 3.11 or later and nothing else.
PYTHON ?= python3
BIN := .venv/bin
PLUGINS := compare http jax judges tensorboard tune ungar
PACKAGES := tunix_core generators/tunix_generators $(foreach name,$(PLUGINS),plugins/$(name)/tunix_$(name))
TESTS := tests generators/tests $(foreach name,$(PLUGINS),plugins/$(name)/tests)
PROJECTS := $(wildcard pyproject.toml generators/pyproject.toml plugins/*/pyproject.toml)
DISTRIBUTIONS := -e . -e generators $(foreach name,$(PLUGINS),-e plugins/$(name))
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: help install demo test test-full system-tools lint format bench constraints clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

install: .venv/.installed  ## Install everything into .venv

.venv/.installed: $(PROJECTS) constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or later is needed (try: make PYTHON=python3.12 ...)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes the first time)"
	@$(PIP) install -c constraints.txt pip setuptools
	@$(PIP) install -c constraints.txt --group test --group lint $(DISTRIBUTIONS)
	@touch $@

demo: install  ## Run the whole line on dev-reasoning-v1, on the CPU
	@$(BIN)/tunix-rt --workspace demo-workspace demo

test: install  ## Run the tests (about ten minutes)
	@$(BIN)/python -m pytest -q -m "not full" -n 2 $(TESTS)

test-full: install system-tools  ## Run all tests, kills, browser, fuzzing, other Pythons, peers and TPU compiles included, then the benchmarks
	@$(PIP) install -c constraints.txt --group peers --group browser --group fuzz
	@$(PIP) install -c constraints.txt -e 'plugins/jax[tpu-compile]'
	@JAX_PLATFORMS=cpu $(BIN)/python -m pytest -q -n 2 $(TESTS)
	@$(MAKE) --no-print-directory bench

system-tools:
	@{ command -v chromium && command -v wrk; } >/dev/null || { apt-get -qq update && \
		apt-get -qq install -y --no-install-recommends chromium fonts-dejavu wrk >/dev/null; } || \
		{ echo "error: chromium and wrk are needed; install them with your system's package manager" >&2; exit 2; }

lint: install  ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(PACKAGES) benchmarks conftest.py
	@for folder in $(TESTS); do $(BIN)/mypy $$folder || exit 1; done
	@$(BIN)/lint-imports

format: install  ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install system-tools  ## Measure speed against the floor and the peers
	@$(PIP) install -c constraints.txt --group bench
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

constraints:  ## Write the newest versions that go together to constraints.txt
	@rm -rf .venv-constraints && $(PYTHON) -m venv .venv-constraints
	@.venv-constraints/bin/python -m pip -qq install -U pip setuptools
	@.venv-constraints/bin/python -m pip -qq install --group test --group lint --group bench $(DISTRIBUTIONS)
	@.venv-constraints/bin/python -m pip freeze --all --exclude-editable > constraints.txt
	@rm -rf .venv-constraints

clean:  ## Remove what was built
	rm -rf .venv demo-workspace build *.egg-info */*.egg-info plugins/*/*.egg-info
