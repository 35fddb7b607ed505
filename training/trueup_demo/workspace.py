"""The demo's own world in one folder: a copy of the feature repository, its stores, MLflow, logs and report.

A demo never touches the repository's own registry, ledger or Redis, and starts from nothing every time.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from trueup.errors import InputError

MARKER = ".trueup-demo"


@dataclass(frozen=True)
class Workspace:
    """Where the demo keeps what. `root` is absolute."""

    root: Path

    @property
    def repo(self) -> Path:
        return self.root / "feature_repo"

    @property
    def data(self) -> Path:
        return self.repo / "data"

    @property
    def ledger(self) -> Path:
        return self.data / "ledger.sqlite"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def log_dir(self) -> Path:
        return self.root / "served"

    @property
    def outcomes(self) -> Path:
        return self.root / "outcomes"

    @property
    def server_output(self) -> Path:
        return self.root / "server.log"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"


def fresh_workspace(root: Path, feature_repo: Path) -> Workspace:
    """An empty workspace with a copy of the feature repository (definitions only, no data).

    Raises InputError when `root` exists and was not made by a demo: it would be deleted.
    """
    root = root.resolve()
    if root.exists():
        if not (root / MARKER).exists() and any(root.iterdir()):
            raise InputError(
                "workspace",
                f"workspace: {root} is not empty and no demo made it, so it is not deleted.",
                hint="Name another folder with --workspace.",
            )
        shutil.rmtree(root)
    root.mkdir(parents=True)
    (root / MARKER).touch()
    workspace = Workspace(root)
    shutil.copytree(feature_repo, workspace.repo, ignore=shutil.ignore_patterns("data", "__pycache__", "*.md"))
    config = workspace.repo / "feature_store.yaml"
    # A project of its own, so that a demo on somebody's own Redis shares no key with the repository's.
    config.write_text(re.sub(r"(?m)^(project: \w+)$", r"\1_demo", config.read_text(encoding="utf-8")), encoding="utf-8")
    for folder in (workspace.data, workspace.redis, workspace.root / "mlflow", workspace.log_dir):
        folder.mkdir(parents=True, exist_ok=True)
    return workspace
