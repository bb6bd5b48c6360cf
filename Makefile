# Newsreel. `make help` lists the targets. Each creates .venv and installs what is missing, once.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
# Tests run on one process more than there are cores, for many wait for others; four at most (one
# takes up to 2 GB); one thread each.
JOBS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((cores < 4 ? cores + 1 : 4)))
STAMP := $(VENV)/.installed-$(shell cksum < requirements.txt | cut -d' ' -f1)
LINTERS := $(VENV)/.linters-$(shell cksum < requirements-dev.txt | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help setup clip serve fleet test test-everywhere lint nano upscaler lora-demo lora-train lora-validate

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-15s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv and install the pinned requirements

$(STAMP): requirements.txt
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@rm -f $(VENV)/.installed-*
	@touch $@

clip: $(STAMP) ## one clip from a sample photograph on the embedded model
	$(RUN) -m src.optimized_inference --model nano --input-image data/samples/sample_image_1.png \
		--prompt "Press briefing at city hall, slow push in" --seed 7

test: $(STAMP) lint ## lint, check floors and types, run every test
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0

test-everywhere: $(STAMP) ## the tests under other processors, threads, folders, locales and orders (AXIS=NAME,...)
	$(RUN) -m tests.everywhere $(AXIS)

$(LINTERS): requirements-dev.txt $(STAMP)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@rm -f $(VENV)/.linters-*
	@touch $@

lint: $(LINTERS) ## style, floors, circles and types, without the tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	PYRIGHT_PYTHON_GLOBAL_NODE=0 $(VENV)/bin/pyright

serve: $(STAMP) ## the HTTP service and the page for editors on port 8000 (HOST=127.0.0.1)
	$(VENV)/bin/uvicorn src.api_server:app --host $(or $(HOST),0.0.0.0) --port $(or $(PORT),8000)

FLEET := $(VENV)/.fleet-$(shell cat requirements-fleet.txt requirements-fleet-tests.txt | cksum | cut -d' ' -f1)

$(FLEET): requirements-fleet.txt requirements-fleet-tests.txt $(STAMP)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-fleet.txt -r requirements-fleet-tests.txt
	@rm -f $(VENV)/.fleet-*
	@touch $@

fleet: $(FLEET) ## a whole fleet on this machine for a trial, without Docker (PORT=8000 MAKER=fake)
	@exec $(RUN) -m deploy.trial --port $(or $(PORT),8000) --maker $(or $(MAKER),engine)

nano: $(STAMP) ## train the embedded model, in slices that resume (MINUTES=30)
	$(RUN) -m src.train_embedded --minutes $(or $(MINUTES),30)

upscaler: $(STAMP) ## train a super-resolution network, in slices that resume (MINUTES=30 PRESET=fast SCALE=2)
	$(RUN) -m src.train_upscaler --minutes $(or $(MINUTES),30) --preset $(or $(PRESET),fast) --scale $(or $(SCALE),2)

lora-demo: $(STAMP) ## render a small training set: one camera move under a word of its own
	$(RUN) -m src.data_prep.lora_demo

lora-train: $(STAMP) ## teach the embedded model that move: writes checkpoints/lora_press
	$(RUN) -m src.train_lora --model nano

lora-validate: $(STAMP) ## base against adapter on unseen photographs: figures and a page
	$(RUN) -m src.validation.validate_lora --model nano --lora checkpoints/lora_press/adapter_final
