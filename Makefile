# Two commands do everything on a fresh machine with Python >= 3.11, git and make:
#   make run    set up, run the demo sweep, draw the figures
#   make test   set up, run the tests
# and make bench measures the speed of this machine (about half an hour)
PYTHON ?= python3
VENV ?= .venv
SWEEP ?= demo
# as it was typed: neither make nor a shell may run what stands in a name; recipes read it from the environment
override SWEEP := $(value SWEEP)
export SWEEP
BIN := $(VENV)/bin

.PHONY: run study study-large study-quick test test-slow test-oldest test-wheel test-slurm test-gpu chaos bench docs lint clean

run: $(VENV)/installed
	@case "$$SWEEP" in -*) $(BIN)/phasepipe check -- "$$SWEEP";; *) $(BIN)/phasepipe run "$$SWEEP";; esac

# every claim of the study, about three hours on two cores; interrupted, it goes on where it was. Ends with docs/evidence/study.md
study: $(VENV)/installed
	$(call run_sweeps,config/study/*.yaml)
	$(BIN)/phasepipe reduce results/study/*/ --to results/reference
	$(BIN)/python -m study.predictions
	$(BIN)/python -m study results/reference --to docs/evidence

# N = 4096 and 8192 for claim 9: a quarter of an hour on a large GPU; make study then reads their tables
study-large: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group gpu
	$(call run_sweeps,config/study-large.yaml)

# the same sweeps, tiny: minutes
study-quick: $(VENV)/installed
	$(call run_sweeps,config/study-quick.yaml)

define run_sweeps
	set -e; for file in $(1); do for sweep in $$($(BIN)/phasepipe sweeps "$$file"); do \
	  $(BIN)/phasepipe run "$$file" "$$sweep" -- --quiet; \
	done; done
endef

# files of tests are shared among processes, at most four: tests start clusters of their own
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow and not slurm and not gpu"

# coverage of intervals on thousands of planted studies, diagonalisation at N = 1024: about a quarter of an hour
test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

# stages and stores on the oldest versions that pyproject.toml allows, installed together: three minutes
test-oldest:
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && python3 -m venv "$$scratch" && \
	  "$$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	  "$$scratch/bin/uv" pip install --quiet --python "$$scratch/bin/python" --resolution lowest-direct -e . --group test && \
	  "$$scratch/bin/python" -m pytest -m "not slow and not slurm and not gpu" tests/stages tests/store/test_integrity.py

# wheel and sdist: only the wheel in a fresh environment, from init to an exported sweep; a minute and a half
test-wheel:
	PYTHON="$(PYTHON)" tests/packaging/wheel-run

# a real SLURM of one machine, started and stopped here: needs root, and Debian for its packages
test-slurm: $(VENV)/installed-dev
	settings=$$(tests/slurm/slurm-up) && eval "$$settings" && trap 'tests/slurm/slurm-up down' EXIT && \
	  timeout 540 $(BIN)/python -m pytest -m slurm tests/slurm

# the engine on PyTorch, a large package: on a GPU if there is one, else on PyTorch's CPU device
test-gpu: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group gpu
	$(BIN)/python -m pytest -m gpu tests/physics

# two hundred faults, each recovered from and compared with the undisturbed sweep: half an hour of a free machine
chaos: $(VENV)/installed-dev
	$(BIN)/python -m tests.chaos --faults $(or $(FAULTS),200) --seed $(or $(SEED),1) $(if $(TO),--to $(TO))

# sections can be chosen: make bench BENCH="--only gradient,flow --quick"
bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group bench
	$(BIN)/python -m benchmarks.run $(BENCH)

# the documentation site, build/site/index.html: pages, notebooks and the reference of all modules; a warning is an error
docs: $(VENV)/installed-dev
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs/site -d build/doctrees . build/site

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(MAKE) docs

clean:
	rm -rf $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("phasepipe needs Python 3.11 or newer; try: make run PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	# so that the first sweep need not: bytecode, and the machine code of the loops
	$(BIN)/python -m compileall -q phasepipe
	$(BIN)/python -m phasepipe.stages.compile_loops
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev
	touch $@
