# Everything that a person or CI runs. Each target sets up what it needs; setting up twice does nothing.
SHELL := /bin/bash -o pipefail
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test cluster-test lint crds chart docs pictures lock images release released bench setup clean

demo: $(READY)  ## the main job, live: a guest that cannot converge, and a policy that makes it
	$(BIN)/vmferry-lab demo

test: setup  ## unit, integration (real API server), e2e (real API server, libvirt, QEMU)
	$(BIN)/python -m pytest

cluster-test: setup  ## what is shipped, on a real cluster of two nodes (root): images, manifests, pods; says why where there can be none
	@$(BIN)/vmferry-lab cluster possible; case $$? in \
	  0) $(BIN)/python -m vmferry_lab.images && $(BIN)/vmferry-lab cluster binaries && $(BIN)/python -m pytest tests/cluster ;; \
	  3) echo "make cluster-test: nothing was tested, for this reason" ;; \
	  *) exit 1 ;; \
	esac

lint: $(READY)  ## style, types, layers, and the generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy bench
	$(BIN)/mypy docs/site tests/doc_pages
	$(BIN)/mypy manifests
	$(BIN)/lint-imports
	$(BIN)/python -m vmferry_api.crd --check crds --reference docs/api.md
	$(BIN)/python manifests/generate_chart.py --check

crds: $(READY)  ## regenerate the CRDs and docs/api.md from crds/vmferry_api
	$(BIN)/python -m vmferry_api.crd crds --reference docs/api.md

chart: $(READY)  ## regenerate those templates of manifests/chart that are made from manifests/base and manifests/monitoring
	$(BIN)/python manifests/generate_chart.py

docs: $(READY)  ## the docs as a site, in dist/site; index.html can be opened as it is
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "file://$(CURDIR)/dist/site/index.html"

pictures: $(READY)  ## draw docs/pictures anew from what was recorded
	$(BIN)/python docs/pictures/render.py

lock: $(READY)  ## resolve the dependencies anew and pin them with hashes
	printf 'hatchling\nsetuptools\n' | $(BIN)/uv pip compile $(LOCK) - -o requirements-build.txt
	$(BIN)/uv pip compile $(LOCK) --extra dev pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile $(LOCK) --extra operator pyproject.toml -c requirements.txt -o requirements-operator.txt
	$(BIN)/uv pip compile $(LOCK) --extra agent pyproject.toml -c requirements.txt -o requirements-agent.txt
LOCK := --quiet --upgrade --generate-hashes --universal --no-header --no-annotate --python-version 3.11

images: $(READY)  ## the container images of operator and agent, in dist/images; FRESH=1: with Debian's packages as they are now
	$(BIN)/python -m vmferry_lab.images

release: images  ## wheel, chart, manifests and bills of materials of this commit, in dist/release
	$(BIN)/python -m vmferry_lab.release

bench: setup  ## what a decision costs, and admission; objectives against plain libvirt and oVirt's policies; what an agent costs (as root; 18 minutes)
	$(BIN)/python bench/decisions.py
	$(BIN)/python bench/admission.py
	$(BIN)/python bench/objective.py
	$(BIN)/python bench/agent_footprint.py

setup: $(READY)  ## all that the tests need: Debian packages, Python packages, the binaries of control plane, Prometheus and Helm
	$(BIN)/vmferry-lab binaries

$(READY): requirements-build.txt requirements.txt pyproject.toml lab/system-packages
	lab/system-packages
	python3 -m venv $(VENV)
	@echo "installing the locked Python packages into $(VENV) (libvirt-python is compiled: about a minute)"
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

released: $(READY)  ## after a release: keep WHEEL=dist/vmferry-VERSION-py3-none-any.whl as the version before, which the tests of version skew run
	$(BIN)/python tests/released/keep.py $(WHEEL)

clean:  ## remove the virtual environment
	rm -rf $(VENV)
