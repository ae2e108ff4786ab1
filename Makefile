# Daily commands of raydd; `make help` lists them. Needs Python >= 3.11 and make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.raydd-installed
# Passed on to pip, such as PIP_FLAGS="--index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple"
PIP_FLAGS ?=
# Passed on to `python -m benchmarks`, such as BENCH_FLAGS="--only iid-step --rounds 7"
BENCH_FLAGS ?=

# What `make demo` searches: small enough for 2 cores and under 5 minutes.
DEMO := iid --data digits --ipc 10 --trials 12 --iterations 100 --scheduler none \
	--net convnet-w32 --fix net=convnet-w32 --fix pool_net=convnet-w32 --fix batch_real=64 \
	--eval-epochs 200 --eval-repeats 2 --set confirm.top=3 --set confirm.rerank_seeds=2 \
	--set confirm.report_seeds=5 --set confirm.max_report_seeds=5 --set confirm.repeats=2
DEMO_HOME := raydd-runs

.DEFAULT_GOAL := help
.PHONY: setup demo test chaos test-unit lint format bench clean help

setup: $(STAMP)  ## make .venv with everything in it, or reuse it

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "raydd needs Python >= 3.11, and there is no $(PYTHON) here; name one: make setup PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "raydd needs Python >= 3.11, and $(PYTHON) is %d.%d; name another: make setup PYTHON=python3.12" % sys.version_info[:2])'
	@test -x $(BIN)/pip || { echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing raydd and what it needs into $(VENV) (several minutes the first time)"
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq $(PIP_FLAGS) -c constraints.txt -e '.[test]'
	@touch $@

demo:  ## search IID's hyperparameters on digits and compare the result on test data
	@begun=$$(date +%s); $(MAKE) --no-print-directory setup || exit $$?; echo "set-up: $$(( $$(date +%s) - begun )) s"
	@name=demo; number=1; \
	while [ -e $(DEMO_HOME)/studies/$$name ]; do number=$$(( number + 1 )); name=demo-$$number; done; \
	begun=$$(date +%s); \
	echo "raydd search $(DEMO) --name $$name"; \
	env -u MLFLOW_TRACKING_URI $(BIN)/raydd search $(DEMO) --name $$name --home $(DEMO_HOME); code=$$?; \
	echo "demo: $$(( $$(date +%s) - begun )) s"; \
	if [ $$code = 0 ]; then echo "the study in MLflow: $(BIN)/raydd ui $$name --home $(DEMO_HOME)"; fi; \
	exit $$code

# Two workers with two threads each would wait for one another most of the time on two cores.
test: setup  ## all tests but the slow ones and those that need a GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder --durations=40

chaos: setup  ## kill drivers, workers, nodes, servers and disks of studies at random moments; half an hour and more
	$(BIN)/python -m pytest -m "slow or integration" -s tests/chaos

test-unit: setup  ## the tests that need neither Ray nor MLflow: seconds
	$(BIN)/python -m pytest

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## let ruff format and sort what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## measure speed and memory against plain loops; BENCH_FLAGS=--quick: under 3 minutes
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

clean:  ## remove caches and build leftovers; .venv and raydd-runs stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -path ./$(DEMO_HOME) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
