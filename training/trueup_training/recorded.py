"""`RecordedRun`: what a run recorded of all that decided it, checked to be enough to train it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from trueup.datasets.snapshot import Snapshot, open_snapshot
from trueup.datasets.storage import problems
from trueup.errors import DatasetError, ModelError
from trueup.models.environment import Environment, read_environment
from trueup.models.fitted import FITTED_FILE, PREDICTIONS_FILE
from trueup.models.tracking import DIFF_FILE, ENVIRONMENT_FILE, RECIPE_FILE, LoggedRun, Tracking
from trueup_training.recipe import Recipe

RESULT_FILES = (FITTED_FILE, PREDICTIONS_FILE)


@dataclass(frozen=True)
class RecordedRun:
    """run: as the store has it. document: its recipe as JSON; recipe: the same, read. snapshot: every byte checked.

    commit: full hash. diff: the binary patch that makes it the tree the run was trained from; None for a clean one.
    """

    run: LoggedRun
    document: Mapping[str, Any]
    recipe: Recipe
    snapshot: Snapshot
    environment: Environment
    commit: str
    diff: bytes | None

    @property
    def threads(self) -> int:
        """Of the fit: its OpenMP threads, as the environment was recorded with them; 1 when it names none."""
        return next((pool.threads for pool in self.environment.thread_pools if pool.api == "openmp"), 1)


class Restore(Protocol):
    """Brings a snapshot back and says where to. Raises DatasetError when it is nowhere."""

    def __call__(self, snapshot: str, /, *, commit: str) -> Path: ...


def load_recorded(ref: str, tracking: Tracking, datasets: Path, *, restore: Restore | None = None) -> RecordedRun:
    """ref: a run's id, NAME@ALIAS or NAME/VERSION. datasets: where its snapshot lies. restore: asked where it does not.

    Raises ModelError for a run that cannot be found or recorded too little, DatasetError for a snapshot that is gone or
    not what it was.
    """
    run = tracking.load_run(ref, RESULT_FILES)
    commit, diff = _code(run)
    document = _recipe(run)
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        raise ModelError(
            f"run {run.run_id}: its recipe is not one of this version: {error.errors()[0]['msg']}."
        ) from error
    return RecordedRun(
        run=run,
        document=document,
        recipe=recipe,
        snapshot=_snapshot(run, datasets, None if restore is None else partial(restore, commit=commit)),
        environment=_environment(run),
        commit=commit,
        diff=diff,
    )


def _code(run: LoggedRun) -> tuple[str, bytes | None]:
    card = run.card
    if card.git_commit is None:
        why = run.tags.get("trueup.git_problem", "it was trained outside a git repository")
        raise ModelError(
            f"run {run.run_id} recorded no commit ({why}), so its code cannot be restored.",
            hint="Train from a git repository with at least one commit.",
        )
    diff = run.files.get(DIFF_FILE)
    if card.git_dirty and diff is None:
        why = run.tags.get("trueup.git_problem", f"it has no {DIFF_FILE}")
        raise ModelError(
            f"run {run.run_id} was trained from a dirty tree whose diff was not kept ({why}), so its code cannot be "
            "restored.",
            hint="Commit, and train again.",
        )
    return card.git_commit, diff if card.git_dirty else None


def _recipe(run: LoggedRun) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(run.files[RECIPE_FILE])
    except (KeyError, ValueError) as error:
        raise ModelError(f"run {run.run_id} has no readable {RECIPE_FILE} ({error}).") from error
    return document


def _environment(run: LoggedRun) -> Environment:
    content = run.files.get(ENVIRONMENT_FILE)
    if content is None:
        raise ModelError(f"run {run.run_id} has no {ENVIRONMENT_FILE}, so its environment cannot be verified.")
    return read_environment(content)


def _snapshot(run: LoggedRun, datasets: Path, restore: Callable[[str], Path] | None) -> Snapshot:
    wanted = run.card.snapshot
    if wanted is None:
        raise ModelError(f"run {run.run_id} is from before snapshots were kept, so its data cannot be restored.")
    try:
        snapshot = open_snapshot(wanted, datasets)
    except DatasetError as error:
        name = f"run {run.run_id} was trained from snapshot {wanted[:12]}, which cannot be opened: {error.message}"
        if restore is None:
            raise DatasetError(
                name, hint="Bring it back from where it is kept, or say where it lies (--datasets)."
            ) from error
        try:
            folder = restore(wanted)
        except DatasetError as lost:
            hint = f"Say where it lies (--datasets). {lost.hint or ''}".strip()
            raise DatasetError(f"{name} Nor can it be brought back: {lost.message}", hint=hint) from error
        snapshot = open_snapshot(str(folder), datasets)
    if found := problems(snapshot.folder):
        raise DatasetError(
            f"snapshot {wanted[:12]} of run {run.run_id} is not what was trained from: {' '.join(found)}",
            hint=f"See {snapshot.folder}; bring it back from where it is kept.",
        )
    return snapshot
