# The commands of the project; CI runs the same ones. `make VENV=folder COMMAND` puts the environments into `folder`.
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)) python3)
VENV := .venv
BUNDLE ?= models/jobs-v1
BUNDLES ?= $(BUNDLE)
URL ?= http://127.0.0.1:8000
IMAGE ?= fitscore
DOCKER ?= docker

SERVE := $(VENV)/serve
DEV := $(VENV)/dev
LOAD := $(VENV)/load
SERVICE_TESTS := $(VENV)/test-service
# Two processes, each with its own share of the test files; a selection by ARGS runs in one.
PARALLEL ?= $(if $(ARGS),,-n 2 --dist loadfile)
GPU := $(VENV)/gpu
DOCS := $(VENV)/docs
PLATFORM := $(VENV)/platform
CLIENTS := $(VENV)/clients
MATRIX := $(VENV)/matrix
RELEASE := $(VENV)/release

.PHONY: help serve serve-env test test-service test-all test-platform test-clients clients clients-check check format train-demo load open-loop bench bench-gpu store-bench peers autoscaling fire docs pictures image image-gpu image-here deploy-files release-check pins

help: ## show these commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

serve: serve-env ## install what serving needs (no torch) and start the service with BUNDLE
	@FITSCORE_BUNDLE='$(BUNDLE)' exec $(SERVE)/bin/python -m service

serve-env: $(SERVE)/.installed

test: $(DEV)/.installed ## run the tests for every change, about two minutes; ARGS='-k queue' selects some
	@exec $(DEV)/bin/python -m pytest $(PARALLEL) -m 'not slow and not cluster and not platform' $(ARGS)

test-service: $(SERVICE_TESTS)/.installed ## run the tests of service and models without torch, under a minute
	@exec $(SERVICE_TESTS)/bin/python -m pytest $(PARALLEL) -m 'not slow and not cluster and not platform' tests/service tests/models tests/faults $(ARGS)

test-all: $(DEV)/.installed ## run every test: trainings, clusters, fuzzing; Redis where installed
	@exec $(DEV)/bin/python -m pytest $(PARALLEL) -m 'not platform' --hypothesis-profile=thorough $(ARGS)

test-platform: $(PLATFORM)/.tools ## test deploy/ with Helm, Prometheus, proxies, checkov; installs them by name
	@PATH="$(abspath $(PLATFORM))/bin:$$PATH" exec $(PLATFORM)/bin/python -m pytest -m platform tests/platform $(ARGS)

test-clients: serve-env $(CLIENTS)/.installed ## test the Python client in an environment of its own, also against the service
	@cd clients/python && exec $(abspath $(CLIENTS))/bin/python -m mypy
	@cd clients/python && SERVE_PYTHON='$(abspath $(SERVE))/bin/python' exec $(abspath $(CLIENTS))/bin/python -m pytest $(ARGS)

clients: serve-env ## test clients of other rerank APIs against the service, each with its versions; ARGS='--only node'
	@exec $(PYTHON) -m tests.matrix --folder '$(MATRIX)' --serve '$(SERVE)/bin/python' $(ARGS)

clients-check: serve-env ## compile the clients in Java and Go, and run them against the service
	@PYTHON='$(abspath $(SERVE))/bin/python' exec clients/check.sh

check: $(DEV)/.installed ## check format, lint, types and the Dockerfile
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy
	$(DEV)/bin/hadolint Dockerfile

format: $(DEV)/.installed ## format the code and apply safe lint fixes
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

train-demo: $(DEV)/.installed ## run every training step on generated data, a few minutes
	@exec $(DEV)/bin/python -m training all demo $(ARGS)

load: $(LOAD)/.installed ## run locust against URL
	@exec $(LOAD)/bin/locust --locustfile load_tests/locustfile.py --headless --only-summary --host '$(URL)' \
		--users 2 --run-time 30s $(ARGS)

open-loop: serve-env ## send Poisson arrivals to URL; latency counts from the intended send time
	@exec $(SERVE)/bin/python -m load_tests.open_loop --url '$(URL)' $(ARGS)

bench: serve-env ## compare the service with the bare model loop; measure lists of 250 warm candidates
	@exec $(SERVE)/bin/python -m load_tests.bench --bundle '$(BUNDLE)' $(ARGS)

bench-gpu: $(GPU)/.installed ## compare all ways to run a graph on a GPU; BUNDLES='one two'
	@exec $(GPU)/bin/python -m load_tests.bench_gpu $(BUNDLES) $(ARGS)

store-bench: serve-env ## measure a store of a million candidates; needs 10 GiB of disk
	@exec $(SERVE)/bin/python -m load_tests.store_bench $(ARGS)

peers: $(DEV)/.installed ## compare with other servers of the same model; writes dated results and the plot
	@code=0; $(DEV)/bin/python -m load_tests.peers.run $(ARGS) || code=$$?; $(DEV)/bin/python docs/pictures.py plots; exit $$code

autoscaling: serve-env ## scale real replicas by backlog and by CPU share; needs prometheus; ARGS='--limit quota'
	@code=0; $(SERVE)/bin/python -m load_tests.autoscaling.run --bundle '$(BUNDLE)' $(ARGS) || code=$$?; \
		$(SERVE)/bin/python docs/pictures.py plots; exit $$code

fire: serve-env ## run the fault tests with their negative controls; ARGS='--minutes 15' or --tiny
	@exec $(SERVE)/bin/python -m load_tests.fire --bundle '$(BUNDLE)' $(ARGS)

# No --quiet: it would hide warnings from --strict as well.
docs: $(DOCS)/.installed ## build the documentation into build/site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 exec $(DOCS)/bin/python -m mkdocs build --strict

pictures: $(DOCS)/.installed ## draw the pictures of README and docs from docs/pictures/*.d2 and dated results
	@exec $(DOCS)/bin/python docs/pictures.py

image: ## build the CPU image
	$(DOCKER) build --target cpu --build-arg BUNDLE='$(BUNDLE)' --tag $(IMAGE):cpu .

image-gpu: ## build the GPU image
	$(DOCKER) build --target gpu --build-arg BUNDLE='$(BUNDLE)' --tag $(IMAGE):gpu .

image-here: ## build, start and check the CPU image on Debian as root, without Docker
	@BUNDLE='$(BUNDLE)' exec container/build_here.sh

deploy-files: $(PLATFORM)/.tools ## write the generated files of deploy/: schema, manifests, dashboard
	@PATH="$(abspath $(PLATFORM))/bin:$$PATH" exec $(PLATFORM)/bin/python -m deploy

release-check: $(SERVE)/.installed $(DEV)/.installed $(RELEASE)/.installed $(PLATFORM)/.tools ## check a release and make its files in build/release; ARGS='--only sbom'
	@exec $(RELEASE)/bin/python -m deploy.release check --venv '$(VENV)' $(ARGS)

pins: ## write constraints.txt from the newest versions that pyproject.toml allows
	rm -rf $(VENV)/pins
	$(PYTHON) -m venv $(VENV)/pins
	$(VENV)/pins/bin/python -m pip install --quiet --editable '.[service-cpu,training,dev]'
	{ sed '/^[^#]/,$$d' constraints.txt; $(VENV)/pins/bin/python -m pip freeze --exclude-editable \
		| sed 's/+cpu$$//' | grep -v '^nvidia-\|^cuda-\|^triton'; } > constraints.new
	mv constraints.new constraints.txt

# What serves keeps neither packages nor bytecode that the service does not import.
$(SERVE)/.installed: EXTRAS := service-cpu
$(SERVE)/.installed: LEAN := --no-compile
$(SERVE)/.installed: container/unused.txt
$(DEV)/.installed: EXTRAS := service-cpu,training,dev
$(SERVICE_TESTS)/.installed: EXTRAS := service-cpu,test-service
$(LOAD)/.installed: EXTRAS := load
$(GPU)/.installed: EXTRAS := service-gpu
$(DOCS)/.installed: EXTRAS := docs
$(RELEASE)/.installed: EXTRAS := release
$(PLATFORM)/.installed: EXTRAS := service-cpu,test-service,platform
# Locust brings an older pytest of its own, which the pins would forbid.
$(SERVE)/.installed $(DEV)/.installed $(SERVICE_TESTS)/.installed $(GPU)/.installed $(DOCS)/.installed \
$(PLATFORM)/.installed: PINS := --constraint constraints.txt

$(PLATFORM)/.tools: $(PLATFORM)/.installed tests/platform/install.sh tests/platform/package.json
	tests/platform/install.sh $(PLATFORM)
	@touch $@

# The package of the client alone: nothing of the service, so that its tests show what it needs.
$(CLIENTS)/.installed: clients/python/pyproject.toml
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --editable 'clients/python[test]'
	@touch $@

# The stamp is written last, so a broken install is done again and a finished one is never touched.
%/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Fitscore needs Python 3.11 or newer")'
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check $(PINS) $(LEAN) --editable '.[$(EXTRAS)]'
	$(if $(LEAN),$*/bin/python -m pip uninstall --quiet --yes --requirement container/unused.txt)
	$(if $(LEAN),PYTHONDONTWRITEBYTECODE= $*/bin/python -c 'import service.__main__')
	@touch $@
