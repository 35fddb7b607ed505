"""What a training of the same recipe would use today, factor by factor, and what of it has moved since the run."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast import FeatureStore

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.datasets.spec import DatasetSpec
from trueup.models.environment import Environment, take_environment
from trueup.parity.snapshots import SnapshotDifference
from trueup.wording import counted
from trueup_training.factors import Factor
from trueup_training.recipe import Recipe, load_recipe
from trueup_training.recorded import RecordedRun
from trueup_training.runtime import Runtime, moved_environment, moved_threads, own_variables
from trueup_training.worktree import Checkout, CodeChange

_LINES = 8
"""Of evidence, a factor."""


@dataclass(frozen=True)
class Today:
    """recipe: of the file, or the recorded one where there is no file. contract: of the registry as it is applied.

    spec: what the recipe reads, under the recorded pinned instant: to pin it to now would move the data by itself.
    environment: of this process, which is what a training would be started from; runtime: what of it can be swapped.
    """

    recipe: Recipe
    recipe_file: Path | None
    contract: FeatureContract
    spec: DatasetSpec
    threads: int
    code: CodeChange
    environment: Environment
    runtime: Runtime


@dataclass(frozen=True)
class AsRecorded:
    """What a training as recorded ran in, here. environment: as it found it itself, after all was restored."""

    environment: Environment
    runtime: Runtime


def take_today(recorded: RecordedRun, tree: Checkout, repo: Path, *, recipe_file: Path | None, threads: int) -> Today:
    """recipe_file: today's recipe; by default the one in the git repository that has the recorded name.

    Raises InputError for a recipe that cannot be read, ContractError when the registry has no such feature service.
    """
    file = recipe_file or _recipe_file(tree, recorded.recipe.name)
    recipe = load_recipe(file) if file is not None else recorded.recipe
    return Today(
        recipe=recipe,
        recipe_file=file,
        contract=extract_contract(FeatureStore(repo_path=str(repo)), recipe.feature_service),
        spec=recipe.dataset(recorded.snapshot.manifest.spec.pinned),
        threads=threads,
        code=tree.change(without=file),
        environment=take_environment(),
        runtime=Runtime(Path(sys.executable), own_variables(os.environ)),
    )


def moved_factors(
    recorded: RecordedRun, today: Today, data: SnapshotDifference, again: AsRecorded
) -> dict[Factor, tuple[str, ...]]:
    """Factor -> the evidence that it is not as it was, lines; those that are as they were are left out.

    data: from the recorded snapshot to what its own definitions give of the sources as they are now.
    """
    found: dict[Factor, tuple[str, ...]] = {
        "data": () if data.content_same else tuple(_data(data)),
        "code": (*today.code.stat[-_LINES:], *_definitions(recorded, today)),
        "recipe": tuple(_changes(_without_seed(recorded.recipe), _without_seed(today.recipe))),
        "seed": tuple(_changes({"seed": recorded.recipe.seed}, {"seed": today.recipe.seed})),
        "threads": tuple(moved_threads(again.runtime, today.runtime, (recorded.threads, today.threads))),
        "environment": tuple(moved_environment(again.environment, today.environment)),
    }
    return {factor: lines for factor, lines in found.items() if lines}


def _recipe_file(tree: Checkout, name: str) -> Path | None:
    """None unless exactly one file has it."""
    found = [path for path in tree.own_files("*.toml") if _is_recipe(path, name)]
    return found[0] if len(found) == 1 else None


def _is_recipe(path: Path, name: str) -> bool:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return data.get("name") == name and "rows" in data


def _data(found: SnapshotDifference) -> Iterator[str]:
    for side, only in (("recorded", found.only_a), ("now", found.only_b)):
        if only.rows:
            yield f"{counted(only.rows, 'row')} only in the {side} data, such as {', '.join(only.examples)}"
    for column in found.columns[:_LINES]:
        extent = f"{column.differ:,} of {counted(column.compared, 'row')} differ"
        cells = (f"; {cell.id}: {cell.a} -> {cell.b}" for cell in column.samples[:1])
        yield f"{column.column}: {extent}{''.join(cells)}"


def _definitions(recorded: RecordedRun, today: Today) -> Iterator[str]:
    contract = recorded.snapshot.manifest.contract
    for difference in contract.diff(today.contract):
        yield f"{difference.part}: {difference.detail}"


def _without_seed(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.params().items() if name != "seed"}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, 'none')} -> {after.get(name, 'none')}"
