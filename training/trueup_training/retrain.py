"""A training as a process of its own: other code cannot be loaded into this one, nor unloaded from it.

It learns from a snapshot, so it needs no source, no registry and no ledger, and logs to a scratch store: neither the
user's repository nor their stores are touched.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueup.datasets.snapshot import Snapshot
from trueup.errors import ModelError
from trueup.models.tracking import LoggedRun, Tracking
from trueup_training.recipe_toml import to_toml
from trueup_training.recorded import RESULT_FILES
from trueup_training.runtime import PROCESS_VARIABLES, Runtime

SOURCES = ("platform", "training", "serving")
"""Where trueup's own sources lie in a tree that has them; in any other, the installed trueup trains."""


@dataclass(frozen=True)
class Training:
    """recipe: as JSON. code: root of the tree whose sources are used. repo: the Feast repository in it."""

    recipe: Mapping[str, Any]
    snapshot: Snapshot
    code: Path
    repo: Path
    threads: int
    runtime: Runtime


def retrain(training: Training, scratch: Path, *, store: str = "mlflow.db") -> LoggedRun:
    """Trains, and returns the run it logged to the store in `scratch`. Raises ModelError that says why it could not.

    store: the SQLite file; one for each interpreter, as each MLflow lays out a file in its own way.
    """
    recipe = scratch / "recipe.toml"
    recipe.write_text(to_toml(training.recipe), encoding="utf-8")
    uri = f"sqlite:///{scratch.resolve()}/{store}"
    options = {
        "--repo": training.repo,
        "--tracking-uri": uri,
        "--dataset": training.snapshot.folder.resolve(),
        "--ledger": scratch / "none.sqlite",
        "--threads": training.threads,
    }
    command = [str(training.runtime.python), "-m", "trueup", "train", str(recipe), "--json"]
    done = subprocess.run(  # noqa: S603 - an interpreter that the user named or that runs this, and our own command
        [*command, *(str(word) for option in options.items() for word in option)],
        cwd=scratch,
        env=_variables(training),
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",  # a training in another locale may say what is no UTF-8
    )
    try:
        run_id = json.loads(done.stdout)["run_id"]
    except (ValueError, KeyError) as error:
        said = done.stderr.strip().splitlines()
        raise ModelError(
            f"training again from {training.code} ended with exit code {done.returncode}: "
            f"{said[-1] if said else 'it said nothing'}"
        ) from error
    return Tracking(uri).load_run(run_id, RESULT_FILES)


def _variables(training: Training) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in PROCESS_VARIABLES}
    sources = [training.code / name for name in SOURCES] if (training.code / "platform" / "trueup").is_dir() else []
    path = [*map(str, sources), *filter(None, [kept.get("PYTHONPATH")]), *map(str, training.runtime.paths)]
    return {**kept, **training.runtime.variables, **({"PYTHONPATH": os.pathsep.join(path)} if path else {})}
