"""What the address of a tracking store says of where it lies. Pure; without MLflow, which takes seconds to import."""

from __future__ import annotations

from pathlib import Path

from trueup.errors import ModelError

_SQLITE = "sqlite:///"


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite address, absolute; None for any other address."""
    if not uri.startswith(_SQLITE):
        return None
    path = uri.removeprefix(_SQLITE).partition("?")[0].removeprefix("file:")
    if not path:
        raise ModelError(f"tracking store {uri!r} names no file; expected such as sqlite:///mlruns/mlflow.db.")
    return Path(path).resolve()


def datasets_beside(uri: str) -> Path:
    """Where training snapshots go unless asked otherwise: `datasets/` beside an SQLite store's file, as its artifacts;
    of any other store, in the working directory."""
    file = sqlite_file(uri)
    return Path("datasets") if file is None else file.parent / "datasets"
