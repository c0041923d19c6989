# `make test` on a fresh machine with Python 3.11 or newer sets everything up and runs every check.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 2
unexport PYTHONDONTWRITEBYTECODE  # the tests start parity hundreds of times; its bytecode is to be kept
# The training environment's interpreter, with the real lerobot; kept outside of the checkout it serves many of them.
LEROBOT_VENV ?= .venv-lerobot
LEROBOT_ENV  := tests/lerobot_env

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help setup test lint types tests demo lowest bench soak lerobot-venv clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 20

setup: $(STAMP)  ## make .venv with everything that the checks need

# torch comes first and pinned: that build is for the CPU alone, a looser requirement may pull gigabytes. Of
# mindstudio-probe only the metrics are used, which need NumPy alone; what it depends on is large.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[torch,dev]'
	$(BIN)/python -m pip install -q --no-deps mindstudio-probe==26.2.0 || echo "no mindstudio-probe: its differential test is skipped"
	if command -v npm >/dev/null; then npm install --silent --no-fund --no-audit --prefix $(VENV)/node axe-core@4; fi
	touch $@

test: lint types tests  ## all checks: lint, types, floors of the house, tests

lint: $(STAMP)  ## ruff, its formatter, and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy --strict

# Threads of torch that wait in a loop would take the cores from the other processes.
tests: export OMP_WAIT_POLICY := PASSIVE

tests: $(STAMP)  ## the tests, on $(JOBS) processes
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'not soak and not bench' tests

demo: $(STAMP)  ## train a small policy, judge a good and a broken export of it with torch: reports/demo/
	$(BIN)/python fixtures/pusht_diffusion/make.py
	$(BIN)/parity run fixtures/pusht_diffusion/good.toml --out reports/demo/good
	$(BIN)/parity run fixtures/pusht_diffusion/broken.toml --out reports/demo/broken; test $$? -eq 1

lowest:  ## the tests that need no torch, with the oldest libraries that are promised to work
	test -x $(VENV)-lowest/bin/python || $(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install -q -r tests/lowest.txt hypothesis jsonschema pytest-timeout pytest-xdist safetensors
	$(VENV)-lowest/bin/python -m pip install -q --no-deps -e .
	$(VENV)-lowest/bin/python -m pytest -n $(JOBS) -m 'not soak and not bench' tests/cases tests/cli tests/contract tests/convert \
		tests/dataset tests/diagnose tests/evaluation tests/om tests/pack tests/predict tests/provenance tests/release tests/report \
		tests/runner/test_runner_onnxruntime.py tests/search tests/stats tests/trace \
		--ignore tests/report/test_report_browser.py  # drives a browser, whatever the libraries

bench: $(STAMP)  ## measured speed, side by side with its peers, one process
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[torch,dev,bench]'
	$(BIN)/python -m pytest -n 0 -m bench -s tests/benchmarks

soak: $(STAMP)  ## slow fuzzing and memory runs
	$(BIN)/python -m pytest -n $(JOBS) -m soak tests

lerobot-venv: $(LEROBOT_VENV)/.installed  ## an interpreter with the real lerobot, for the tests that run LeRobot folders

# torch and torchvision are pinned for the CPU; lerobot's own dependencies ask for CUDA, so it comes without them.
$(LEROBOT_VENV)/.installed: $(LEROBOT_ENV)/constraints.txt $(LEROBOT_ENV)/requirements.txt $(LEROBOT_ENV)/torchvision_on_cpu.py
	test -x $(LEROBOT_VENV)/bin/python || $(PYTHON) -m venv $(LEROBOT_VENV)
	$(LEROBOT_VENV)/bin/python -m pip install -q -c $(LEROBOT_ENV)/constraints.txt torch
	$(LEROBOT_VENV)/bin/python -m pip install -q -c $(LEROBOT_ENV)/constraints.txt --no-deps torchvision lerobot
	$(LEROBOT_VENV)/bin/python -m pip install -q -c $(LEROBOT_ENV)/constraints.txt -r $(LEROBOT_ENV)/requirements.txt
	site=$$($(LEROBOT_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
		cp $(LEROBOT_ENV)/torchvision_on_cpu.py "$$site" && \
		echo 'import torchvision_on_cpu' > "$$site/torchvision_on_cpu.pth"
	$(LEROBOT_VENV)/bin/python -c 'from lerobot.policies import factory'
	touch $@

clean:  ## remove what was built, the environment too
	rm -rf $(VENV) $(VENV)-lowest .venv-lerobot build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
