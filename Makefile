# Two commands do everything on a fresh machine: `make demo` and `make test`; `make test-long` runs the long tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
EXTRAS ?= train,industrial,medical,agriculture,serve,scale,dev
ARGS   ?=
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: setup demo test test-long lint clean

setup: $(VENV)/.ready

# uv installs about five times faster than pip; where it cannot be had, pip does the same work.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	if $(BIN)/python -m pip install -q uv; then \
	  $(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -c constraints.txt -e ".[$(EXTRAS)]"; \
	else \
	  $(BIN)/python -m pip install -q -c constraints.txt -e ".[$(EXTRAS)]"; \
	fi
	touch $@

demo: setup
	$(BIN)/loupe demo industrial $(ARGS)

# Two processes, a file of tests to each: most tests use one core.
test: setup lint
	$(BIN)/python -m pytest -q -m "not long" -n 2 --dist loadfile $(ARGS)

# Kills, browsers, simulations and whole builds, one after the other.
test-long: setup
	$(BIN)/python -m pytest -q -m long $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV)
