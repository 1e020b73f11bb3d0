# Two commands for a newcomer: "make run" and "make test". Each installs what is missing first.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
HALF_MADE := $(VENV)/.installing

# The first of these that is 3.11 or newer; "make PYTHON=/path/to/python run" takes another.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do "$$p" -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos interleavings record mutants sim install requirements clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

run: $(STAMP) ## the whole product: PostgreSQL, Redis, broker simulator, service (API_KEY, PORT, SIM_PORT, DATA_DIR)
	@$(PY) -m embedded

WHOLE = -n 3 --dist loadfile --no-loadscope-reorder --cov-fail-under=85 $(EXCEPT)

test: $(STAMP) ## every test, with coverage of app/ by branch; ARGS="-k name" narrows it
	@$(PY) -m pytest --cov --cov-branch --cov-report=term $(or $(ARGS),$(WHOLE))

RECORDING := .recording

record: $(STAMP) ## the same, slower, noting which test runs which line: by that "make mutants" chooses its tests
	@mkdir -p $(RECORDING)
	@COVERAGE_FILE=$(RECORDING)/coverage $(PY) -m pytest --cov --cov-branch --cov-report=term $(WHOLE) \
	    --cov-context=test -p tests.faults.mutants.recorder --durations-to $(RECORDING)/durations.json

check: $(STAMP) ## lint, format, types, import rules
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: $(STAMP) ## the benchmarks, with their method and numbers
	@$(PY) -m benchmarks $(ARGS)

chaos: $(STAMP) ## replicas under random faults (CHAOS_MINUTES, CHAOS_SEED, REPLICAS); ARGS=outages or lost-answers
	@$(PY) -m chaos $(ARGS)

interleavings: $(STAMP) ## pairs of operations on one account in all orders of their steps (ARGS, INTERLEAVINGS_SEED)
	@INTERLEAVINGS=all $(PY) -m pytest tests/interleavings --timeout 0 $(ARGS)

mutants: $(STAMP) ## small faults in the order engine, one by one: which does no test notice? after "make record" (ARGS="--minutes 60")
	@$(PY) -m tests.faults.sample_mutants --map $(RECORDING) $(ARGS)

sim: $(STAMP) ## the broker simulator alone (SIM_PORT)
	@$(PY) -m simulator --port $(or $(SIM_PORT),9100) $(ARGS)

install: $(STAMP) ## the virtual environment alone

# Made again when the requirements change. One that was interrupted, or whose Python is gone, is thrown away first.
# The list is complete (--no-deps): a pip that resolves again takes releases newer than ours for packages with extras.
$(STAMP): requirements-dev.txt
	@if [ -z "$(PYTHON)" ]; then \
	    echo "Python 3.11 or newer is needed; none of these is: $(CANDIDATES)" >&2; exit 1; fi
	@"$(PYTHON)" -c '$(IS_NEW_ENOUGH)' || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)" >&2; exit 1; }
	@if [ -e $(HALF_MADE) ] || ! $(PY) -c 'import pip; $(IS_NEW_ENOUGH)' >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$("$(PYTHON)" --version) ..."; \
	    rm -rf $(VENV) && "$(PYTHON)" -m venv $(VENV); fi
	@echo "installing into $(VENV) (about a minute the first time) ..."
	@touch $(HALF_MADE)
	@$(PY) -m pip install --quiet --no-input --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@rm -f $(HALF_MADE) && touch $@

# uv resolves for every platform and Python at once; it is a tool of this one recipe, so it is not among the requirements.
COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements"

requirements: ## resolve requirements*.in anew (needs uv)
	@$(COMPILE) requirements.in --output-file requirements.txt
	@$(COMPILE) requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt

clean: ## remove the virtual environment and caches; the data directory stays
	@rm -rf $(VENV) $(RECORDING) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -not -path './.data/*' -prune -exec rm -rf {} +
