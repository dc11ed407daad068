SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
# Branch coverage of outbox/ that `make test` asks for, in percent.
COVERAGE ?= 95
# Test processes side by side, each with a database and brokers of its own. They wait for a third of their time, so there
# may be more of them than cores.
WORKERS ?= 3
# Further arguments of pytest or of the benches, such as ARGS="-k relay".
ARGS ?=

# These targets are for development, also where DATABASE_URL names a database.
export DEBUG ?= true
# Some hundred processes start in the tests; each would compile what it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(INSTALLED) ## Webhooks through PostgreSQL to Kafka, live; ONCE=1 compares and ends, KAFKA=real
	@$(PYTHON) manage.py demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(KAFKA),--kafka $(KAFKA))

.PHONY: test
test: lint ## All checks and tests, with real processes, PostgreSQL and Kafka
	@mkdir -p .cache/coverage
	$(PYTHON) -m pytest --cov --cov-report=term --cov-fail-under=$(COVERAGE) --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: lint
lint: $(INSTALLED) ## Style, types and layers
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --cache-dir .cache/import-linter

.PHONY: bench
bench: $(INSTALLED) ## Measure against bare loops, on a real database and broker
	$(PYTHON) -m bench $(ARGS)

.PHONY: proofs
proofs: $(INSTALLED) ## The proofs at full length, with their absolute limits
	PROOFS=full $(PYTHON) -m pytest tests/proofs -p no:randomly --timeout=3600 $(ARGS)

.PHONY: docs
docs: $(INSTALLED) ## Build the documentation into build/docs
	$(PYTHON) -m sphinx -W -q -b html -d .cache/doctrees docs build/docs

.PHONY: screenshots
screenshots: $(INSTALLED) ## Take the documentation's pictures of the console again
	$(PYTHON) -m pytest tests/browser/make_screenshots.py -p no:randomly -q $(ARGS)

.PHONY: lock
lock: $(INSTALLED) ## Pin the dependencies of pyproject.toml again
	.venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--quiet --output-file requirements.lock

.PHONY: clean
clean: ## Stop the embedded servers; remove their data, the environment and all build output
	@if [ -x $(PYTHON) ] && [ -d .cache ]; then $(PYTHON) -m somabrain.embedded.clean; fi
	@rm -rf .venv .cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without its dependencies, for the lock has them all: pip would look for versions of what extras name, and find newer ones.
$(INSTALLED): requirements.lock
	@set -eu; \
	if ! $(PYTHON) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		found=; unusable=; \
		for candidate in python3.13 python3.12 python3.11 python3; do \
			version=$$($$candidate -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
			if ! $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
				unusable="$$candidate is $$version, too old"; \
			elif ! $$candidate -c 'import ensurepip, venv' 2>/dev/null; then \
				unusable="$$candidate has no venv; on Debian: apt-get install python3-venv"; \
			else found=$$candidate; break; fi; \
		done; \
		if [ -z "$$found" ]; then echo "Python 3.11 or newer is needed: $${unusable:-none found}." >&2; exit 1; fi; \
		echo "Creating .venv with $$found ($$version)"; \
		$$found -m venv --clear .venv; \
	fi; \
	echo "Installing requirements.lock"; \
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock; \
	touch $@
