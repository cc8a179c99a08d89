# Connectory: `make demo` to look at it, `make test` to check it. Everything lands in .venv and web/node_modules.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
FULL ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DOCKERFILES := docker/Dockerfile
COMPOSE_FILES := docker/compose.yaml docker/compose.demo.yaml
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

# A stamp carries a checksum of what it stands for, so a checkout's file times mean nothing and a changed lock is noticed.
checksum = $(shell cat $(1) 2>/dev/null | cksum | tr ' ' '-')
RUN_STAMP := $(VENV)/.run-$(call checksum,requirements/run.txt requirements/build.txt)
PROJECT_STAMP := $(VENV)/.project-$(call checksum,pyproject.toml)
DEV_STAMP := $(VENV)/.dev-$(call checksum,requirements/dev.txt)

GRAPHIQL := connectory/static/graphiql
WEB_FILES := $(sort $(shell find web -name node_modules -prune -o -type f -print 2>/dev/null))
GRAPHIQL_STAMP := $(GRAPHIQL)/.built-$(call checksum,$(WEB_FILES))

# A virtual environment that came here from another place, or whose Python has gone, is made anew.
ifneq ($(shell grep -qsF '$(CURDIR)/$(VENV)' $(BIN)/activate && $(BIN)/python -c 'print(1)' 2>/dev/null),1)
$(shell rm -f $(VENV)/.run-* $(VENV)/.project-* $(VENV)/.dev-*)
.PHONY: $(BIN)/python
endif

.PHONY: help setup demo test proofs lint node graphiql lock clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      five simulated systems and the gateway over them, until Ctrl-C (ARGS="--port 9000")'
	@echo 'make test      linters and the suite; a part of it without linters: ARGS="tests/api -k paging" (WORKERS=2)'
	@echo 'make proofs    what takes minutes: kill -9, golden hours, soak, browser ... (FULL=1: at full size, for hours)'
	@echo 'make lint      linters only'
	@echo 'make setup     .venv with the locked dependencies and the command connectory'
	@echo 'make graphiql  the GraphiQL pages, where npm is there'
	@echo 'make node      Node.js and npm into .venv, where the machine has none'
	@echo 'make lock      the lock files in requirements/ anew (keeps what still fits; ARGS=--upgrade for the newest)'
	@echo 'make clean     removes what the others made'

setup: $(PROJECT_STAMP)

demo: setup graphiql
	@exec $(BIN)/connectory demo $(ARGS)

# In the order of the folders: by default files of few tests come last, and the slowest are among those.
PYTEST = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest
test: $(if $(ARGS),,lint) $(DEV_STAMP) graphiql
	$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/proofs $(ARGS)

# One after the other at full size, where figures are wanted of a machine that does nothing else.
proofs: $(DEV_STAMP) graphiql
	CONNECTORY_FULL=$(FULL) $(PYTEST) -n $(if $(FULL),0,$(WORKERS)) --dist worksteal $(if $(FULL),--timeout 7200) $(or $(ARGS),tests/proofs)

lint: setup $(DEV_STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m yamllint --strict .
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec $(COMPOSE_FILES)
	$(call if_there,hadolint,$(DOCKERFILES))
	$(call if_there,shellcheck,.ci/run)

# These two are binaries that the package index has for Linux on x86_64 only.
define if_there
@if [ -x $(BIN)/$(1) ]; then echo '$(BIN)/$(1) $(2)'; $(BIN)/$(1) $(2); \
	elif [ "$$CONNECTORY_REQUIRE_ALL" = 1 ]; then echo '$(1) is missing' >&2; exit 1; \
	else echo 'Not linted: $(2) ($(1) has no build for this machine)'; fi
endef

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Connectory needs Python 3.11 or newer; "$(PYTHON)" says:' "$$($(PYTHON) --version 2>&1)." \
			'Name another one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '"$(PYTHON)" comes without venv; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(RUN_STAMP): | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/run.txt -r requirements/build.txt
	@rm -f $(VENV)/.run-* && touch $@

$(PROJECT_STAMP): $(RUN_STAMP)
	$(PIP) install --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.project-* && touch $@

$(DEV_STAMP): $(PROJECT_STAMP)
	$(PIP) install --require-hashes -r requirements/dev.txt
	@rm -f $(VENV)/.dev-* && touch $@

# For a machine without Node.js, or with one that is too old: it goes into .venv/bin, where `make graphiql` looks first.
node: setup
	$(PIP) install --require-hashes -r requirements/node.txt

graphiql: $(GRAPHIQL_STAMP)

NPM_FLAGS := --prefer-offline --no-fund --no-audit --loglevel=error --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000
# as web/package-lock.json wants it
has_node = command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
	process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null

# Never in the way of the gateway itself, which runs without; only a machine that must have everything fails here.
$(GRAPHIQL_STAMP): | $(PROJECT_STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH"; \
	$(has_node) || { echo 'Node.js 20.19 or newer is not here: it comes into $(VENV), once ...'; $(MAKE) --no-print-directory --silent node; }; \
	if $(has_node) && echo 'Building GraphiQL, once (half a minute) ...' && cd web \
			&& npm ci --engine-strict $(NPM_FLAGS) && npm run --silent build -- --logLevel warn; then \
		rm -f ../$(GRAPHIQL)/.built-* && touch ../$@ && exit 0; \
	fi; \
	echo 'GraphiQL is left out, see above for the reason. Everything else goes on.'; \
	[ "$$CONNECTORY_REQUIRE_ALL" != 1 ] || { echo 'CONNECTORY_REQUIRE_ALL=1: GraphiQL must be built.' >&2; exit 1; }

lock: setup
	$(PIP) install --require-hashes -r requirements/lock.txt
	$(LOCK) $(ARGS) --output-file requirements/lock.txt requirements/lock.in >/dev/null
	$(LOCK) $(ARGS) --output-file requirements/node.txt requirements/node.in >/dev/null
	$(LOCK) $(ARGS) --output-file requirements/build.txt requirements/build.in >/dev/null
	$(LOCK) $(ARGS) --output-file requirements/run.txt pyproject.toml >/dev/null
	$(LOCK) $(ARGS) --constraints requirements/run.txt --constraints requirements/build.txt \
		--output-file requirements/dev.txt pyproject.toml requirements/dev.in >/dev/null

clean:
	rm -rf $(VENV) $(GRAPHIQL) web/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
