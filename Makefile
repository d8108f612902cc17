# `make demo` and `make test` need Python >= 3.11, pip and make; everything else is installed into .venv from the lock.
PYTHON ?= python3
# One more than there are cores: many tests wait for servers and deadlines.
JOBS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) + 1)" 2>/dev/null || echo 2)
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := requirements/dev.txt
BENCH := benchmarks/.venv/requirements
LITELLM := benchmarks/.venv/litellm

.PHONY: demo test proof bench bench-gate lock clean

demo: .venv/project
	$(BIN)/python -m example_app.demo $(ARGS)

test: .venv/project
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses $(JOBS) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='coo_middleware/core/*' --fail-under=100

# The counts of docs/proof.md, one test after another: give it the machine for itself.
proof: .venv/project
	COO_PROOF=30 $(BIN)/python -m pytest -m proof $(ARGS)

# The peers and the floors, each as a ratio in one run: see docs/benchmarks.md. --litellm adds LiteLLM's proxy.
bench: $(BENCH)/lock $(if $(findstring --litellm,$(ARGS)),$(LITELLM)/lock)
	$(BENCH)/bin/python -m benchmarks $(ARGS)

# Keeps what requests cost today in instructions, for the tests to compare.
bench-gate: .venv/project
	$(BIN)/python -m benchmarks.gate --keep

lock: .venv/project
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --quiet --output-file $(LOCK)
	$(BIN)/uv pip compile pyproject.toml benchmarks/requirements.in --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --quiet --output-file benchmarks/requirements.txt
	$(BIN)/uv pip compile benchmarks/litellm.in --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --quiet --output-file benchmarks/litellm.txt

clean:
	rm -rf .venv benchmarks/.venv .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

# Two stamps, each made last, so that an installation that was broken off is begun anew.
.venv/lock: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	$(PIP) install --require-hashes --requirement $(LOCK)
	@touch $@

.venv/project: .venv/lock pyproject.toml
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# An environment of its own for the peers, and one for LiteLLM, which is large.
benchmarks/.venv/%/lock: benchmarks/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	@touch $@
