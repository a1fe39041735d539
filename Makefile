# Everything starts from a fresh checkout with Python 3.11+ and nothing else of ours.
.DEFAULT_GOAL := help
.PHONY: help demo pictures test bench lint format lock clean runtime development

BIN := .venv/bin
UV ?= uv
COMPILE := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --upgrade

export PYTHON

help:
	@echo "make demo    what does every token of the Azure trace cost, on which chip? writes results/own-the-token/"
	@echo "make pictures  the README's and the docs' pictures: the demo, the search for a chip, a floorplan"
	@echo "make test    the tests"
	@echo "make bench   every promised speed: target, measured, pass"
	@echo "make lint    style, format, types and import rules"
	@echo "make format  puts the style right where that can be done by rule"
	@echo "make lock    resolves the lock files anew (needs uv)"
	@echo "make clean   removes .venv, caches and results"

runtime:
	@sh scripts/setup requirements.lock

development:
	@sh scripts/setup requirements-dev.lock

demo: runtime
	$(BIN)/scoville study studies/own-the-token.toml

pictures: demo
	mkdir -p docs/pictures
	cp results/own-the-token/charts/cost-per-token.png results/own-the-token/charts/cost-against-speed.png docs/pictures/
	$(BIN)/scoville design studies/designs/llama-70b-chat.toml
	cp results/llama-70b-chat/charts/cost-against-speed.png docs/pictures/design-against-bought.png
	$(BIN)/scoville chip jalapeno --floorplan docs/pictures/floorplan-jalapeno.png

test: development
	$(BIN)/python -m pytest

bench: development
	$(BIN)/python -m benchmarks

lint: development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: development
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Each file is resolved within the versions of the one before, so that it can stand in for it.
lock:
	$(COMPILE) --group build --output-file requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --extra dev --extra cluster --constraint requirements-dev.lock --output-file requirements-cluster.lock

clean:
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist results
	find benchmarks src tests -name __pycache__ -type d -prune -exec rm -rf {} +
