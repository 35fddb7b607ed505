"""Where a served log stands on disk. Pure: names and paths only.

    <root>/<feature service>/<contract hash, 12 digits>/contract.json
                                                       /_serving/<hash>.json
                                                       /_experiments/<hash>.json
                                                       /date=YYYY-MM-DD/<writer>-<number>.parquet

`_serving/` has each serving version that rows name, `_experiments/` each split of an experiment. Readers of
Parquet datasets skip names that begin so.

A file appears whole or not at all: it is written under a hidden name in the same directory and renamed.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from trueup.contracts.contract import FeatureContract

CONTRACT_FILE = "contract.json"
SUFFIX = ".parquet"
SERVING_FOLDER = "_serving"
EXPERIMENTS_FOLDER = "_experiments"
_DATE = "date="


def log_directory(root: Path, contract: FeatureContract) -> Path:
    """The directory of the rows served under this contract."""
    return root / contract.service / contract.hash[:12]


def serving_file(directory: Path, version: str) -> Path:
    """Where a contract's log keeps what a serving version says. version: its hash."""
    return directory / SERVING_FOLDER / f"{version}.json"


def experiment_file(directory: Path, version: str) -> Path:
    """Where a contract's log keeps a split that its rows were assigned under. version: its hash."""
    return directory / EXPERIMENTS_FOLDER / f"{version}.json"


def date_directory(day: date) -> str:
    """Days are UTC days of `__log_timestamp`."""
    return f"{_DATE}{day.isoformat()}"


def parse_date_directory(name: str) -> date | None:
    """None when it is not the name of a day's directory."""
    try:
        return date.fromisoformat(name.removeprefix(_DATE)) if name.startswith(_DATE) else None
    except ValueError:
        return None


def hidden(path: Path) -> Path:
    """The name a file is written under until it is whole. Readers of Parquet datasets skip names like it."""
    return path.with_name(f".{path.name}.tmp")
