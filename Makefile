# Everything a user, a developer or CI runs. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-full pipeline test lint types pytest faults reproduce-bench ledger-bench bench browser format lock golden clean
.PHONY: secrets image image-check ops-check

BIN := .venv/bin
TEST_WORKERS ?= 2
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
export DVC_NO_ANALYTICS := 1
export FEAST_USAGE := False
export PYTHONDONTWRITEBYTECODE :=

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: ## the virtual environment, from requirements.lock (the other targets call it)
	@python3 infra/setup/bootstrap.py

demo: setup ## the main job: real flights through the whole loop, ends with a report (minutes)
	@$(BIN)/trueup demo $(DEMO_FLAGS)

demo-full: setup ## the same with every flight of the replayed weeks
	@$(BIN)/trueup demo --full

pipeline: setup ## raw data to model and parity report, what has changed of it (dvc.yaml)
	@PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

test: setup lint types pytest ## all checks, as CI runs them

lint: setup
	@test ! -e platform/__init__.py || { echo "platform/__init__.py shadows the standard library's platform: remove it"; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

pytest: setup
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

faults: setup ## every kind of skew injected, and how often its cause is named right -> build/faults.json (minutes)
	$(BIN)/python -m tests.faults --out build/faults.json

reproduce-bench: setup ## every culprit planted, and whether trueup reproduce names it -> build/reproduce.json (minutes)
	$(BIN)/python -m tests.reproduce_bench --out build/reproduce.json

ledger-bench: setup ## gaps of known size planted, and whether trueup diagnose finds cause and size -> build/ledger.json (minutes)
	$(BIN)/python -m tests.ledger_bench --out build/ledger.json

bench: setup ## every speed claim beside the naive path -> build/bench.json (minutes; NAME=... for one)
	$(BIN)/python -m tests.benches $(NAME) --out build/bench.json

browser: setup ## the report in a real Chromium (skipped where there is none)
	$(BIN)/pytest -q -m browser tests/browser -rs

secrets: ## random secrets for docker-compose.yml, in infra/secrets, where there are none yet
	@sh infra/docker/secrets.sh

image: ## one image (SERVICE=serving, jobs or training), by docker, or buildah where there is no docker
	@sh infra/docker/build.sh $(SERVICE)

image-check: setup ## the serving image really built with buildah, and a prediction answered from it (minutes)
	$(BIN)/python -m tests.ops image --out build/image.json

ops-check: setup ## everything of operating it that this machine can run for real -> build/ops.json (minutes)
	$(BIN)/python -m tests.ops $(PARTS) --out build/ops.json

format: setup ## ruff's fixes and layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## resolve pyproject.toml again into requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --all-extras --python-version 3.11 --no-header --no-annotate --quiet pyproject.toml -o requirements.lock
	bash infra/docker/locks.sh
	echo "uv==0.13.9" | $(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --quiet - -o infra/setup/uv.lock.txt

golden: setup ## write the committed bytes of each format again (look at the difference before you commit it)
	$(BIN)/python -m tests.golden.redis_bytes
	$(BIN)/python -m tests.golden.assignment
	$(BIN)/python -m tests.golden.report_schema
	$(BIN)/python -m tests.golden.ledger_schema
	$(BIN)/python -m tests.golden.ledger_markdown
	$(BIN)/python -m tests.golden.snapshot

clean: ## everything that was made: build/, caches, the feature repository's local data
	@# The repository's own Redis first: without its folder it could not be found again.
	@test ! -d feature_repo/data -o ! -x $(BIN)/python || $(BIN)/python -c "from pathlib import Path; from trueup.stores.redis_connection import local_directory; from trueup.stores.local_redis import stop_running; stop_running(local_directory(Path('feature_repo')))"
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache feature_repo/data

include infra/ci/targets.mk
