# LLM Ladder. `make start` to learn, `make test` to prove everything; each sets up what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help

.PHONY: help
help:            ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

.PHONY: start
start: setup     ## open JupyterLab on the next day (ARGS="--no-browser" prints the address only)
	$(BIN)/ladder start $(DAY) $(ARGS)

.PHONY: setup
setup: $(STAMP)  ## make .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; found $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: browser
browser:         ## a Chromium for the browser tests (Debian/Ubuntu as root; else tells how)
	@sh tests/get_chromium.sh

.PHONY: triton
triton: setup    ## a Triton, where torch brings none: kernels are interpreted and compiled without a GPU
	$(BIN)/python -c 'import triton' 2>/dev/null || $(BIN)/python -m pip install --quiet triton==3.9.0

.PHONY: hub
hub: setup       ## a JupyterHub with ngshare for its test (needs Node.js; else tells how)
	@sh tests/get_hub.sh $(VENV)

.PHONY: test
test: setup triton browser hub lint  ## everything CI runs: lint, types, notebooks, verify, tests
	$(BIN)/ladder build --check
	OMP_NUM_THREADS=1 $(BIN)/ladder verify
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup
	sh tests/oldest_triton.sh $(BIN)

.PHONY: oldest-triton
oldest-triton: setup  ## the kernel judge under the oldest Triton it supports, in an environment beside .venv's
	sh tests/oldest_triton.sh $(BIN)

.PHONY: lint
lint: setup      ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: build
build: setup     ## rebuild the notebooks
	$(BIN)/ladder build

.PHONY: verify
verify: setup    ## prove the checks (DAY=3 for one day)
	$(BIN)/ladder verify $(DAY)

.PHONY: bench
bench: setup     ## overheads and baselines, as tables
	for bench in bench/*.py; do $(BIN)/python $$bench || exit 1; done

.PHONY: lock
lock: setup      ## resolve the dependencies anew into requirements.lock
	sh tests/lock.sh $(BIN)

.PHONY: clean
clean:           ## remove .venv and caches (never work/)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
