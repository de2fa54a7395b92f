# What there is to do in this repository. `make` alone lists it. Everything heavy is kept in $(CACHE), outside the repository.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

CACHE := $(or $(GENAI_DEV_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/genai-operator,$(HOME)/.cache/genai-operator))
UV ?= $(or $(shell command -v uv),$(CACHE)/uv/bin/uv)
PYTHON ?= python3
RUN := .venv/bin/python
SYNCED := .venv/.synced
# One of them has the cluster's tests, which wait most of their time: the other has the rest (tests/support/side_by_side.py).
TEST_PROCESSES ?= 2

# protoc finds its plugins on the PATH
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/tests
export UV

.PHONY: help
help: ## this list
	@echo "usage: make TARGET [CLUSTER=auto|current|kind|local]"
	grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-16s %s\n", $$1, $$2 }'

# --- the Python environment -------------------------------------------------------------------------------------------

.PHONY: venv
venv: $(SYNCED) ## the Python environment .venv, from uv.lock

$(SYNCED): pyproject.toml uv.lock | $(UV)
	@$(UV) sync --quiet --all-extras --locked --python $(PYTHON)
	touch $@

$(CACHE)/uv/bin/uv:
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null; then
	  echo "Installing the Debian package python3-venv"
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends python3-venv > /dev/null
	fi
	echo "Installing uv into $(CACHE)/uv"
	$(PYTHON) -m venv $(CACHE)/uv
	$(CACHE)/uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.8

# --- cluster and images -----------------------------------------------------------------------------------------------

.PHONY: up down status images kubectl helm shell-env
up: $(SYNCED) ## start the cluster (does nothing when it is healthy)
	@$(RUN) -m localkube up

down: $(SYNCED) ## end the cluster; no process, link, route or mount is left
	@$(RUN) -m localkube down

status: $(SYNCED) ## whether the cluster runs
	@$(RUN) -m localkube status

images: $(SYNCED) ## build the images where something changed, load them into the cluster if it is up
	@$(RUN) -m imagebuild

kubectl: $(SYNCED) ## make kubectl ARGS="get pods -A"
	@$(RUN) -m localkube kubectl $(ARGS)

helm: $(SYNCED) ## make helm ARGS="list -A"
	@$(RUN) -m localkube helm $(ARGS)

shell-env: $(SYNCED) ## prints exports: eval "$(make -s shell-env)" gives you kubectl and helm
	@$(RUN) -m localkube env

# --- the command line --------------------------------------------------------------------------------------------------

.PHONY: kubectl-genai kubectl-genai-lock
kubectl-genai: $(SYNCED) ## one file build/kubectl-genai for the PATH: kubectl genai (ARGS="--release URL" for Krew too)
	@$(RUN) plugins/build.py $(ARGS)

kubectl-genai-lock: $(SYNCED) ## the versions that the one file carries, anew from uv.lock
	@$(RUN) plugins/lock.py

# --- generated files and models ---------------------------------------------------------------------------------------

.PHONY: generate hello-model
generate: $(SYNCED) ## stubs from the .proto files, CRDs from the pydantic models
	@$(RUN) -m genai_protocol.generate
	$(RUN) -m genai_operator.api.crd
	$(RUN) -m genai_operator.parameters.page

hello-model: $(SYNCED) ## train and export the example model again (minutes)
	@$(PYTHON) examples/hello-model/build.py

# --- checks and tests -------------------------------------------------------------------------------------------------

.PHONY: check unit test test-gpu demo bench-control bench-runtime-options bench-serving bench-latency
check: $(SYNCED) ## formatting, types, import rules, generated files: no cluster
	@ruff check .
	ruff format --check .
	mypy
	mypy -p localkube -p imagebuild -p support -p bench
	lint-imports
	$(RUN) -m genai_protocol.generate --check
	$(RUN) -m genai_operator.api.crd --check
	$(RUN) -m genai_operator.parameters.page --check

unit: $(SYNCED) ## unit and contract tests: no cluster
	@pytest tests/unit tests/contract

test: check up ## everything: check, then all tests on the cluster (TEST_PROCESSES=0: one after the other)
	@$(RUN) -m imagebuild
	$(RUN) -m imagebuild builder
	$(RUN) -m support.programs
	pytest tests --numprocesses $(TEST_PROCESSES) --no-loadscope-reorder --reruns 1 --reruns-delay 2 -raR --durations 20

test-gpu: ## the tests that need an NVIDIA GPU, and no cluster (GPU_PYTHON=… for an environment that has the CUDA build)
	@if ! $(PYTHON) -c 'import ctypes; ctypes.CDLL("libcuda.so.1")' 2> /dev/null; then
	  echo "make test-gpu needs a machine with an NVIDIA GPU and its driver: there is no libcuda.so.1 here" >&2
	  exit 2
	fi
	if [ -z "$(GPU_PYTHON)" ]; then $(MAKE) --no-print-directory $(CACHE)/venv-gpu/.synced; fi
	$(or $(GPU_PYTHON),$(CACHE)/venv-gpu/bin/python) -m pytest tests/gpu -s

# The two builds of ONNX Runtime are one Python package: the GPU's has an environment of its own.
$(CACHE)/venv-gpu/.synced: pyproject.toml uv.lock runtime_server/requirements-cuda.txt | $(UV)
	@UV_PROJECT_ENVIRONMENT=$(@D) $(UV) sync --quiet --locked --extra runtime --python $(PYTHON) \
	  --no-install-package onnxruntime --no-install-package onnxruntime-genai
	$(UV) pip install --quiet --no-deps --require-hashes --python $(@D)/bin/python -r runtime_server/requirements-cuda.txt
	touch $@

demo: up ## the main job on a cluster, told as it happens; writes build/demo/summary.json
	@$(RUN) -m imagebuild
	$(RUN) examples/demo/run.py

bench-control: $(SYNCED) ## the operator at 1,000 models, on a control plane of its own; writes build/bench/control.json
	@$(RUN) tests/bench/control.py

bench-runtime-options: up ## live options on three pods under load; writes build/bench/runtime-options.json (ARGS="--quick")
	@$(RUN) -m imagebuild
	$(RUN) -m bench.runtime_options $(ARGS)

bench-serving: $(SYNCED) ## the server against llama.cpp and raw GenAI; writes build/bench/serving.json (ARGS="--quick")
	@$(RUN) -m bench.serving $(ARGS)

bench-latency: $(SYNCED) ## each latency practice on against off, defaults against tune; writes build/bench/latency.json (ARGS="--quick")
	@$(RUN) -m bench.latency $(ARGS)
