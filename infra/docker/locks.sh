#!/usr/bin/env bash
# The locks of the images, each a part of requirements.lock with the same versions and hashes. `make lock` calls it.
set -euo pipefail
cd "$(dirname "$0")/../.."
compile() { .venv/bin/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --quiet "$@"; }
# Feast asks for sqlalchemy[mypy]: a type checker, and what it brings, is nothing that an image runs.
without=(); for name in mypy mypy-extensions librt ast-serialize types-greenlet; do without+=(--no-emit-package "$name"); done
compile -c requirements.lock "${without[@]}" --extra serving pyproject.toml -o infra/docker/serving.lock
compile -c requirements.lock "${without[@]}" --extra serving --extra parity pyproject.toml -o infra/docker/jobs.lock
compile -c requirements.lock "${without[@]}" --extra training --extra parity pyproject.toml -o infra/docker/training.lock
printf 'hatchling\nsetuptools\n' | compile -c requirements.lock - -o infra/docker/build.lock
