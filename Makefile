# Needs only Python 3.11+ and make: uv is found, or installed into .uv by pip.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
SYNC := $(UV) sync --locked --quiet --inexact --extra broker --extra dashboard --extra distributed
BACKENDS := --extra openvino --extra qnn --extra tinygrad --extra classifiers --extra tflite
RUN := $(UV) run --no-sync

.PHONY: help install backends demo test check lint types layers format bench fuzz test-faults test-zoo test-long chaos soak screenshots clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet uv

install: $(if $(findstring .uv/,$(UV)),.uv/bin/uv)  ## the project and its tools in .venv
	$(SYNC)

backends: install  ## and the software of every back end, torch with it (another 6 GB)
	$(SYNC) $(BACKENDS)

demo: install  ## broker, four cameras, a consumer, and the ledger at the end
	$(RUN) streamer demo

# Side by side, since much of it is waiting; each process has a broker of its own. In order: the short ones come last.
test: backends  ## every test that CI runs
	$(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder

test-faults: backends  ## every fault test, the long ones too (20 minutes), and a table
	$(RUN) pytest tests/faults -m faults

test-long: backends  ## what takes the whole machine, or long: plans that are verified, three brokers (4 minutes)
	$(RUN) pytest tests -m long

test-zoo: backends  ## every classifier exported and compared with torch (20 minutes), and a table
	$(RUN) pytest tests/zoo -m zoo

check: install lint types layers test  ## what CI runs

lint: install
	$(RUN) ruff check
	$(RUN) ruff format --check

types: backends
	$(RUN) mypy

layers: install
	$(RUN) lint-imports

format: install  ## let ruff mend what it can
	$(RUN) ruff check --fix
	$(RUN) ruff format

bench: install  ## CPU per frame beside a bare loop
	$(RUN) python benchmarks/consumer_cpu.py

FUZZ_SECONDS ?= 60

fuzz: install  ## each fuzzer for FUZZ_SECONDS, 60
	$(RUN) python -m tests.fuzz.fuzz $$($(RUN) python -m tests.fuzz.fuzz --list) --seconds $(FUZZ_SECONDS)

chaos: install  ## 20 random kills over 50,000 frames with each delivery; CHAOS=--seed=7 repeats one
	$(RUN) python -m tests.faults.chaos $(CHAOS)

SOAK_MINUTES ?= 10

soak: install  ## SOAK_MINUTES, 10, of cameras and workers, and nothing may grow
	$(RUN) python -m tests.faults.soak --minutes $(SOAK_MINUTES)

screenshots: install  ## the pictures of the dashboard in docs/images, from a real demo
	$(RUN) python -m tools.screenshots

clean:
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache dist
