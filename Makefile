# Everything that a person or CI runs. Each target sets up what it needs; setting up twice does nothing.
SHELL := /bin/bash -o pipefail
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint crds docs pictures lock bench setup clean

demo: setup  ## the main job, live: a guest that cannot converge, and a policy that makes it
	$(BIN)/vmferry-lab demo

test: setup  ## unit, integration (real API server), e2e (real API server, libvirt, QEMU)
	$(BIN)/python -m pytest

lint: $(READY)  ## style, types, layers, and the generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy bench
	$(BIN)/mypy docs/site tests/doc_pages
	$(BIN)/lint-imports
	$(BIN)/python -m vmferry_api.crd --check crds --reference docs/api.md

crds: $(READY)  ## regenerate the CRDs and docs/api.md from crds/vmferry_api
	$(BIN)/python -m vmferry_api.crd crds --reference docs/api.md

docs: $(READY)  ## the docs as a site, in dist/site; index.html can be opened as it is
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "file://$(CURDIR)/dist/site/index.html"

pictures: $(READY)  ## draw docs/pictures anew from what was recorded
	$(BIN)/python docs/pictures/render.py

lock: $(READY)  ## resolve the dependencies anew and pin them with hashes
	printf 'hatchling\nsetuptools\n' | $(BIN)/uv pip compile $(LOCK) - -o requirements-build.txt
	$(BIN)/uv pip compile $(LOCK) --extra dev pyproject.toml -o requirements.txt
LOCK := --quiet --upgrade --generate-hashes --universal --no-header --no-annotate --python-version 3.11

bench: setup  ## what a decision costs, and admission; objectives against plain libvirt and oVirt's policies; what an agent costs (as root; 18 minutes)
	$(BIN)/python bench/decisions.py
	$(BIN)/python bench/admission.py
	$(BIN)/python bench/objective.py
	$(BIN)/python bench/agent_footprint.py

setup: $(READY)  ## all that demo and test need: Debian packages, Python packages, the binaries of control plane and Prometheus
	$(BIN)/vmferry-lab binaries

$(READY): requirements-build.txt requirements.txt pyproject.toml lab/system-packages
	lab/system-packages
	python3 -m venv $(VENV)
	@echo "installing the locked Python packages into $(VENV) (libvirt-python is compiled: about a minute)"
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

clean:  ## remove the virtual environment
	rm -rf $(VENV)
