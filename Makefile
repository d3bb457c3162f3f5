# Everything below sets itself up in .venv; it needs Python 3.11 or later and nothing else.
PYTHON ?= python3
BIN := .venv/bin
PLUGINS := compare http jax judges math_verify tensorboard tune ungar
PACKAGES := tunix_core generators/tunix_generators $(foreach name,$(PLUGINS),plugins/$(name)/tunix_$(name))
TESTS := tests generators/tests $(foreach name,$(PLUGINS),plugins/$(name)/tests)
TESTS_documents := tests/documents
TESTS_notebooks := tests/test_notebooks.py tests/test_wheelhouse.py
TESTS_core := tests $(TESTS_documents:%=--ignore=%) $(TESTS_notebooks:%=--ignore=%)
TESTS_generators := generators/tests
$(foreach name,$(PLUGINS),$(eval TESTS_$(name) := plugins/$(name)/tests))
PARTS := core documents notebooks generators $(PLUGINS)
PART ?=
ifneq ($(filter-out $(PARTS),$(PART)),)
$(error no part is called $(filter-out $(PARTS),$(PART)) (give one of: $(PARTS)))
endif
# Neighbours stay together, since they share servers and environments. Many tests wait for a process or
# a disk, so that three at a time keep two cores busy.
PYTEST := $(BIN)/python -m pytest -q -n 3 --dist worksteal --durations 0 --durations-min 5
PROJECTS := $(wildcard pyproject.toml generators/pyproject.toml plugins/*/pyproject.toml)
SOURCES := . generators $(foreach name,$(PLUGINS),plugins/$(name))
DISTRIBUTIONS := $(foreach source,$(SOURCES),-e $(source))
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PAIRED := notebooks/kaggle_submission.py notebooks/quickstart.py
WHEELHOUSE ?= wheelhouse
WHEELHOUSE_PYTHON ?= 3.12
# The notebook's JAX; empty for the one that is tested here.
WHEELHOUSE_JAX ?=

.PHONY: help install demo test test-full system-tools lint format notebooks notebooks-check reference bench wheels \
	test-wheels wheelhouse constraints clean

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

test: install  ## Run the tests, or one part of them: make test PART=jax (see CONTRIBUTING.md)
	@$(PYTEST) -m "not full" $(if $(PART),$(foreach part,$(PART),$(TESTS_$(part))),$(TESTS))

test-full: install wheels system-tools  ## Run all tests, kills, browser, fuzzing, other Pythons, peers and TPU compiles included, then the benchmarks
	@$(PIP) install -c constraints.txt --group peers --group browser --group fuzz
	@$(PIP) install -c constraints.txt -e 'plugins/jax[tpu-compile]'
	@$(PYTEST) -m "not full" $(TESTS)
	@JAX_PLATFORMS=cpu XLA_FLAGS= $(PYTEST) -m full $(TESTS)
	@$(MAKE) --no-print-directory bench

system-tools:
	@{ command -v chromium && command -v wrk; } >/dev/null || { apt-get -qq update && \
		apt-get -qq install -y --no-install-recommends chromium fonts-dejavu wrk >/dev/null; } || \
		{ echo "error: chromium and wrk are needed; install them with your system's package manager" >&2; exit 2; }

lint: install  ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(PACKAGES) benchmarks docs notebooks conftest.py
	@for folder in $(TESTS); do $(BIN)/mypy $$folder || exit 1; done
	@$(BIN)/lint-imports
	@$(BIN)/zizmor --offline --pedantic --quiet .github/workflows

format: install  ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

notebooks: install  ## Write each notebook anew from its paired script
	@$(BIN)/jupytext --quiet --update --to ipynb $(PAIRED)

notebooks-check: install  ## Check that each notebook says what its paired script says
	@$(BIN)/python -m pytest -q tests/test_notebooks.py -k pair

reference: install  ## Write docs/cli.md, hooks.md and settings.md anew from the code
	@$(BIN)/python docs/make_reference.py

bench: install system-tools  ## Measure speed against the floor and the peers
	@$(PIP) install -c constraints.txt --group bench
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# The same commit gives the same bytes: times in a wheel are the commit's, the tools are pinned.
wheels: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
wheels: install  ## Build a wheel of each distribution into dist/
	@rm -rf dist $(SOURCES:%=%/build)
	@$(PIP) wheel --no-deps --no-build-isolation -w dist $(SOURCES:%=./%)
	@rm -rf $(SOURCES:%=%/build)

test-wheels: wheels  ## Try the wheels in an environment that holds nothing else
	@$(BIN)/python -m pytest -q tests/test_wheels.py

wheelhouse: wheels  ## Gather in WHEELHOUSE what a notebook without internet installs
	@$(BIN)/python notebooks/wheelhouse.py --wheels dist --constraints constraints.txt \
		--python $(WHEELHOUSE_PYTHON) $(WHEELHOUSE_JAX:%=--jax %) $(WHEELHOUSE)

constraints:  ## Write the newest versions that go together to constraints.txt
	@rm -rf .venv-constraints && $(PYTHON) -m venv .venv-constraints
	@.venv-constraints/bin/python -m pip -qq install -U pip setuptools
	@.venv-constraints/bin/python -m pip -qq install --group test --group lint --group bench $(DISTRIBUTIONS)
	@.venv-constraints/bin/python -m pip freeze --all --exclude-editable > constraints.txt
	@rm -rf .venv-constraints

clean:  ## Remove what was built
	rm -rf .venv demo-workspace dist wheelhouse build *.egg-info */*.egg-info plugins/*/*.egg-info
