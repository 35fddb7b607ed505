"""A site: a git repository with the small shop's Feast repository, its recipe and, on demand, trueup's own sources.

What it does, it does by the real commands, each a process of its own in the variables of the moment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from feast import FeatureStore
from tests.training import shop

from trueup.stores.query_source import DuckDBQuerySource
from trueup_training.runtime import PROCESS_VARIABLES

ROOT = Path(__file__).parents[2]
SOURCES = ("platform/trueup", "training/trueup_training", "serving/trueup_serving")
RECIPE = shop.RECIPE + "max_features = 0.5\n"
"""The seed then decides something."""
SQL = "SELECT site, hour, created,\n  level,\n  open\nFROM load\n"
VARIABLES = {"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""Of every process, unless a world says otherwise: what the machine has set is left out."""


class CommandError(RuntimeError):
    """A command that should have worked did not."""


@dataclass(frozen=True)
class Site:
    """folder: of its own. variables: of each command. python: that runs it. path: what it needs to find trueup.

    run_id: of the training that is reproduced.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=lambda: dict(VARIABLES))
    python: str = sys.executable
    path: tuple[Path, ...] = ()
    run_id: str = ""

    @property
    def git_root(self) -> Path:
        return self.folder / "git"

    @property
    def repo(self) -> Path:
        return self.git_root / "shop"

    @property
    def recipe(self) -> Path:
        return self.git_root / "shop.toml"

    def edit(self, name: str, old: str, new: str) -> None:
        """One place of a file in the git repository. Raises CommandError when it is not there, or there twice."""
        file = self.git_root / name
        text = file.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise CommandError(f"{name} has {text.count(old)} of {old!r}; one was expected")
        file.write_text(text.replace(old, new), encoding="utf-8")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        return self._run(["git", *who, "-C", str(self.git_root), *words])

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def train(self) -> Site:
        """The run that is to be reproduced."""
        said = self.trueup("train", str(self.recipe), "--json")
        return replace(self, run_id=said["run_id"])

    def reproduce(self, *options: str) -> dict[str, Any]:
        return self.trueup("reproduce", self.run_id, "--json", *options, codes=(0, 1))

    def trueup(self, *words: str, codes: Sequence[int] = (0,)) -> dict[str, Any]:
        store = f"sqlite:///{self.folder}/mlruns/mlflow.db"
        command = [self.python, "-m", "trueup", *words, "--repo", str(self.repo), "--tracking-uri", store]
        said: dict[str, Any] = json.loads(self._run(command, codes))
        return said

    def apply_sql(self) -> None:
        """The load view by the SQL in its file, as `feast apply` would."""
        store = FeatureStore(repo_path=str(self.repo))
        view = store.get_feature_view("load")
        view.batch_source = DuckDBQuerySource(
            name="load_source",
            query=(self.repo / "load.sql").read_text(encoding="utf-8"),
            tables={"load": "data/load.parquet"},
            timestamp_field="hour",
            created_timestamp_column="created",
        )
        store.apply([view])

    def _run(self, command: Sequence[str], codes: Sequence[int] = (0,)) -> str:
        kept = {name: value for name, value in os.environ.items() if name not in PROCESS_VARIABLES}
        path = [*(str(self.git_root / name.partition("/")[0]) for name in SOURCES if (self.git_root / name).is_dir())]
        path += map(str, self.path)
        environment = {**kept, **self.variables, **({"PYTHONPATH": os.pathsep.join(path)} if path else {})}
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            cwd=self.folder,
        )
        if done.returncode not in codes:
            raise CommandError(f"{' '.join(command[:4])} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout


def make_site(folder: Path, shop_repo: Path, *, sources: bool = False) -> Site:
    """shop_repo: an applied Feast repository to copy. sources: trueup's own too, so that code can be planted there."""
    site = Site(folder)
    site.git_root.mkdir(parents=True)
    shutil.copytree(shop_repo, site.repo)
    (site.repo / "load.sql").write_text(SQL, encoding="utf-8")
    site.apply_sql()
    site.recipe.write_text(RECIPE, encoding="utf-8")
    (site.git_root / ".gitignore").write_text("data/\n__pycache__/\n", encoding="utf-8")
    if sources:
        for name in SOURCES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, site.git_root / name, ignore=ignored)
    site._run(["git", "init", "--quiet", str(site.git_root)])
    return site
