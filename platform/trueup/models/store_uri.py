"""What the address of a tracking store says of where it lies. Pure; without MLflow, which takes seconds to import."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from trueup.errors import ModelError

_SQLITE = "sqlite:///"
_SCHEMES = frozenset({"sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc"})
"""Of addresses MLflow takes for runs and models alike, its folders of files aside: MLflow 3 does not write those."""
_USER_INFO = re.compile(r"//[^/?#\s]*@")
_SECRET = re.compile(r"([?&][^=&#\s]*(?:pass|pwd|token|secret|key)[^=&#\s]*=)[^&#\s]*", re.IGNORECASE)


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite address, absolute; None for any other address."""
    if not uri.startswith("sqlite:"):
        return None
    path = uri.removeprefix(_SQLITE).partition("?")[0].removeprefix("file:") if uri.startswith(_SQLITE) else ""
    if not path:
        raise ModelError(f"tracking store {uri!r} names no file; expected such as sqlite:///mlruns/mlflow.db.")
    return Path(path).resolve()


def is_database(uri: str) -> bool:
    """Whether it is a database that MLflow opens by itself, other than an SQLite file."""
    return uri.partition(":")[0].partition("+")[0] in ("postgresql", "mysql", "mssql")


def is_server(uri: str) -> bool:
    """Whether it is the address of an MLflow server."""
    return uri.startswith(("http://", "https://"))


def check_address(uri: str) -> None:
    """Raises ModelError for what cannot be the address of a store, before MLflow tries for minutes."""
    scheme = uri.partition(":")[0].partition("+")[0].lower()
    try:
        named = scheme in _SCHEMES and not (is_server(uri) and not urlsplit(uri).hostname)
        urlsplit(uri).port  # noqa: B018 - raises for what is no number
    except ValueError:
        named = False
    if not named:
        raise ModelError(
            f"tracking store {masked(uri)!r} is no address of an MLflow store; expected such as "
            "sqlite:///mlruns/mlflow.db or http://localhost:5000.",
            hint="Set TRUEUP_TRACKING_URI, or --tracking-uri.",
        )


def masked(text: str) -> str:
    """An address, or a message with addresses in it, without the credentials in them: for people, logs and files."""
    return _SECRET.sub(r"\1***", _USER_INFO.sub("//***@", text))


def datasets_beside(uri: str) -> Path:
    """Where training snapshots go unless asked otherwise: `datasets/` beside an SQLite store's file, as its artifacts;
    of any other store, in the working directory.

    A server keeps no snapshots: they are files of whoever trains, as large as the data. DVC, or a folder that
    `TRUEUP_DATASETS` names, brings them to another machine.
    """
    file = sqlite_file(uri)
    return Path("datasets") if file is None else file.parent / "datasets"
