# Needs Python 3.11+, make and the network (once, to fill .venv).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
CONFORMANCE := .venv-conformance
TOOLS := .venv-tools
CHARTS := .venv/.charts
# Nothing is installed that is not in a lock, with the hash of its file.
LOCKED := install -q --disable-pip-version-check --require-hashes

.PHONY: demo test long attack crash kills crash-points load conformance browser bench bench-quick bench-page older check format lint types samples docs simulate lock sbom clean

demo: $(STAMP)  ## Publish the sample models to an embedded registry
	$(BIN)/bulkload demo

# Tests start hundreds of interpreters: what one of them has compiled serves all, also where the surroundings ask for
# the contrary. Once after the installation the tests are compiled by one process, instead of by each that runs them.
export PYTHONDONTWRITEBYTECODE :=
COMPILED := .venv/.compiled

# Many tests mostly wait for processes and clocks: one worker more than there are cores keeps these busy. A further one
# would cost the seconds in which it finds all tests.
WORKERS = -n $$(( 1 + $$(getconf _NPROCESSORS_ONLN) )) --dist worksteal

test: $(COMPILED)  ## The tests, in parallel: in a few minutes
	$(BIN)/pytest $(WORKERS) -q

long: $(COMPILED)  ## More of the same promises: more kills, crash points and histories, in a few minutes
	$(BIN)/pytest $(WORKERS) -q -m long

attack: $(STAMP)  ## Hostile manifests, models, answers, requests and surroundings, by the thousand: minutes
	$(BIN)/pytest $(WORKERS) -q -m attack

KILLS ?= 100
SEED ?= 100
crash: kills crash-points  ## Both of the next two

kills: $(STAMP)  ## KILLS kills of runs in every phase, against registries calm and not; SEED repeats a history
	KILLS=$(KILLS) SEED=$(SEED) $(BIN)/pytest $(WORKERS) -q -m crash tests/cli/test_killed.py

crash-points: $(STAMP)  ## Every crash point, alone and in pairs, on both ledgers: a quarter of an hour on two cores
	$(BIN)/pytest $(WORKERS) -q -m crash tests/guarantees

load: $(STAMP)  ## Rates over 50 seeds, a limit filled, a conversion queue kept full: ten minutes, on a machine with nothing else to do
	$(BIN)/pytest -q -m load -p no:xdist tests/engine/test_politeness.py

conformance: $(STAMP) $(CONFORMANCE)/.installed  ## The vendor's SDK, its generated client, curl and requests as witnesses
	BULKLOAD=$(CURDIR)/$(BIN)/bulkload $(CONFORMANCE)/bin/pytest -q -c tests/conformance/pytest.ini tests/conformance

browser: $(STAMP)  ## The sandbox's page of its API in Chromium, which must be installed (Debian: apt-get install chromium)
	command -v chromium
	$(BIN)/pytest -q -rs tests/sandbox/test_docs_page.py

# In turn with curl, openssl, requests and the vendor's SDK, against a server that costs next to nothing.
DISCARDING_SERVER := benchmarks/build/server
BENCH := $(STAMP) $(CHARTS) $(CONFORMANCE)/.installed $(DISCARDING_SERVER)
ROWS ?=
bench: $(BENCH)  ## bulkload against its peers, in under fifteen minutes: results, chart and docs/performance.md; ROWS="small-files help" for some
	$(BIN)/python -m benchmarks $(ROWS)

bench-quick: $(BENCH)  ## The same with smaller sizes and fewer rounds, in about a minute
	$(BIN)/python -m benchmarks --quick $(ROWS)

bench-page: $(STAMP) $(CHARTS)  ## Chart and docs/performance.md anew, from the last results; not where bulkload is another one since
	$(BIN)/python -m benchmarks.page

OLDER := build/bulkload-0.1.0
older: $(OLDER)/.venv/.installed  ## Version 0.1.0, out of this repository, for `make bench` to measure beside this one

$(OLDER)/.venv/.installed:
	mkdir -p $(OLDER)
	git archive 1111c1a | tar -x -C $(OLDER)
	$(MAKE) -C $(OLDER) .venv/.installed

$(DISCARDING_SERVER): benchmarks/server.c benchmarks/wire.c benchmarks/wire.h
	mkdir -p $(@D)
	@pkg-config --exists openssl || { echo "OpenSSL's headers are missing (Debian: apt-get install libssl-dev pkg-config)"; exit 1; }
	cc -O2 -Wall -Wextra -Werror -o $@ $(filter %.c,$^) $$(pkg-config --cflags --libs openssl)

check: lint types test long  ## Everything a change must pass

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)  ## Rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

samples: $(STAMP)  ## Write manifests/models anew (downloads torch, keras, onnx, scikit-learn, xgboost)
	$(BIN)/pip install -q 'pip>=25.1'
	$(BIN)/pip install -q --group samples
	$(BIN)/python manifests/make_samples.py

docs: $(STAMP)  ## Write docs/command-line.md anew
	$(BIN)/python docs/command_line.py > docs/command-line.md

simulate: $(STAMP)  ## Runs of a million entries and registries in trouble, on virtual time: the table and picture of docs/scale.md
	$(BIN)/python -m benchmarks.simulation --seed $(SEED) --picture docs/scale.svg

# For every system and every Python from 3.11 on; a version stays as long as pyproject.toml lets it.
UPGRADE ?=
COMPILE = $(TOOLS)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	--custom-compile-command 'make lock'
lock: $(TOOLS)/.installed  ## Lock what pyproject.toml asks for, with the hash of every file; UPGRADE=--upgrade takes newer versions
	$(COMPILE) $(UPGRADE) --all-extras --group dev --group build -o requirements.lock pyproject.toml
	$(COMPILE) $(UPGRADE) --group tools -o requirements-tools.lock
	$(COMPILE) $(UPGRADE) -c requirements.lock --group charts -o requirements-charts.lock
	$(COMPILE) $(UPGRADE) -o tests/conformance/requirements.lock tests/conformance/requirements.txt

# In an environment that holds the wheel and what it brings, and nothing else.
sbom: $(STAMP) $(TOOLS)/.installed  ## Build the wheel, and its bill of materials as CycloneDX, into dist/
	rm -rf dist build/sbom
	mkdir -p build
	$(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	$(COMPILE) -c requirements.lock -o build/runtime.lock pyproject.toml
	$(PYTHON) -m venv --without-pip build/sbom
	$(BIN)/pip --python build/sbom/bin/python $(LOCKED) -r build/runtime.lock
	$(BIN)/pip --python build/sbom/bin/python install -q --disable-pip-version-check --no-deps --no-index dist/*.whl
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible --validate \
		-o dist/bulkload.cdx.json build/sbom/bin/python
	$(BIN)/python tests/bill_of_materials.py dist

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bulkload needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip $(LOCKED) -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(COMPILED): $(STAMP)
	-$(BIN)/pytest --collect-only -q > $@

# Apart: they need other versions of what bulkload needs.
$(CHARTS): requirements-charts.lock $(STAMP)
	$(BIN)/pip $(LOCKED) -r requirements-charts.lock
	touch $@

$(TOOLS)/.installed: requirements-tools.lock
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip $(LOCKED) -r requirements-tools.lock
	touch $@

# Apart: the SDK pins libraries that bulkload needs newer. It wants Python 3.11 or 3.12.
$(CONFORMANCE)/.installed: tests/conformance/requirements.lock
	$(PYTHON) -m venv $(CONFORMANCE)
	$(CONFORMANCE)/bin/pip $(LOCKED) -r tests/conformance/requirements.lock
	touch $@

clean:
	rm -rf .venv $(CONFORMANCE) $(TOOLS) build dist benchmarks/build .mypy_cache .pytest_cache .ruff_cache bulkload-demo
