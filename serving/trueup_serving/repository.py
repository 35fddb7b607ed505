"""The Feast repository as a server needs it: its registry and its online store.

The offline store and the batch engine are for training and materialization. Feast imports both as soon as a repository
is opened, with all that they stand on (DuckDB, Spark): a server never asks them anything, and its image has none of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore, RepoConfig
from feast.repo_config import FeastConfigError
from feast.utils import get_default_yaml_file_path
from pydantic import ValidationError

_NOT_SERVED = ("offline_store", "batch_engine")


def open_to_serve(repo: Path) -> FeatureStore:
    """repo: an absolute path. The registry is read anew. Raises Feast's own errors for a file that it would refuse."""
    path = get_default_yaml_file_path(repo)
    settings: dict[str, Any] = yaml.safe_load(os.path.expandvars(path.read_text(encoding="utf-8")))
    try:
        config = RepoConfig(**{name: value for name, value in settings.items() if name not in _NOT_SERVED})
    except ValidationError as error:
        raise FeastConfigError(error, path) from error
    config.repo_path = repo
    return FeatureStore(repo_path=str(repo), config=config)
