# The two commands: `make demo` and `make test`. Each sets up what it needs, once.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
BIN := .venv/bin
STAMP := .venv/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check audit ui bench bench-quick soak soak-quick mutations lock clean prerequisites

demo: $(STAMP)
	@$(BIN)/tp demo

# Tests mostly wait, for a sync, a poll or a dying URL: two for each core.
test: $(STAMP)
	@$(BIN)/python -m pytest -n $$((2 * $$(nproc))) --dist loadfile --no-loadscope-reorder

check: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pip check --quiet
	@$(BIN)/python -m pytest -q transcription_pipeline_tests/test_dependencies.py
	@$(BIN)/python -m transcription_pipeline.tables.dictionary --check README.md
	@$(BIN)/python -m transcription_pipeline.emulators.coverage --check docs/emulators.md

# Looks every locked version up among the published flaws; needs the internet.
audit: $(STAMP)
	@$(BIN)/python -m venv var/audit
	@var/audit/bin/pip install --quiet pip-audit
	@var/audit/bin/pip-audit -r requirements.lock --require-hashes --disable-pip

ui: $(STAMP)
	@$(BIN)/tp ui

bench: $(STAMP)
	@$(BIN)/python -m bench

bench-quick: $(STAMP)
	@$(BIN)/python -m bench --quick

# Kills, robs, floods and starves the pipeline, and compares with the providers' own invoices.
soak: $(STAMP)
	@$(BIN)/python -m proof

soak-quick: $(STAMP)
	@$(BIN)/python -m proof --quick

# Takes out each line that keeps money safe, one at a time: the tests must notice.
mutations: $(STAMP)
	@$(BIN)/python -m proof.mutations

clean:
	rm -rf .venv var build *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Makes requirements.lock anew from pyproject.toml: every version pinned, every file by hash.
lock: $(STAMP)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --no-strip-extras \
	    --no-emit-index-url --no-header --python-version 3.11 --quiet -o requirements.lock

prerequisites:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Python 3.11 is missing: install it, or name yours: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "$(PYTHON) is not Python 3.11: name one that is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python has no venv module: install python3.11-venv" >&2; exit 1; }
	@command -v cc >/dev/null || command -v gcc >/dev/null || { \
	  echo "a C compiler is missing: install gcc" >&2; exit 1; }

$(STAMP): requirements.lock pyproject.toml | prerequisites
	@echo "setting up .venv (once; a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements.lock
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true  # pip would on one processor
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
