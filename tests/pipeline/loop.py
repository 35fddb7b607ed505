"""The committed pipeline in a git repository of its own, on four weeks of flights: the same dvc.yaml, smaller data."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from zipfile import ZipFile

from feature_repo.ingest import raw_files

ROOT = Path(__file__).resolve().parents[2]
MONTH, FIRST, LAST = "10", 1, 28
PARAMS = {
    '"2013-12-31T00:00:00Z"': '"2013-10-27T00:00:00Z"',
    '"2013-12-31T00:30:00Z"': '"2013-10-27T00:30:00Z"',
}
RECIPE = {
    "2013-11-01T00:00:00Z": "2013-10-27T00:00:00Z",  # pinned
    "start = 2013-03-01T05:00:00Z": "start = 2013-10-05T04:00:00Z",
    "end = 2013-10-01T04:00:00Z": "end = 2013-10-20T04:00:00Z",
    "start = 2013-10-01T04:00:00Z": "start = 2013-10-20T04:00:00Z",
    "end = 2013-10-31T22:00:00Z": "end = 2013-10-26T22:00:00Z",
    "max_iter = 120": "max_iter = 20",
}


def make_repository(folder: Path, *, before: Collection[str] = ()) -> None:
    """The tracked files and those not ignored, with four weeks of raw data in place, and the instants to match.

    before: whole months that the raw data have too, so that statistics over 28 days are whole.
    """
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    replace(folder / "params.yaml", PARAMS)
    replace(folder / "training" / "recipes" / "flights.toml", RECIPE)
    (folder / "raw").mkdir()
    for name in ("flights.csv", "weather.csv", "planes.csv"):
        header, *rows = raw_rows(name)
        dated = {"flights.csv": (1, 2), "weather.csv": (2, 3)}.get(name)
        write_rows(
            folder / "raw" / name, [header, *(row for row in rows if dated is None or wanted(row, *dated, before))]
        )


def wanted(row: list[str], month: int, day: int, before: Collection[str]) -> bool:
    return row[month] in before or (row[month] == MONTH and FIRST <= int(row[day]) <= LAST)


def raw_rows(name: str) -> Iterator[list[str]]:
    path = raw_files() / name
    if path.exists():
        return csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    with ZipFile(path.with_suffix(".csv.zip")) as archive:
        return csv.reader(io.StringIO(archive.read(name).decode()))


def write_rows(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def delay_one_flight(raw: Path, minutes: int) -> None:
    """A flight of the training window left later than the raw file said."""
    with raw.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    row = next(row for row in rows[1:] if row[2] == "15" and row[5] == "0")
    row[5] = str(minutes)
    write_rows(raw, rows)


def replace(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for before, after in changes.items():
        assert text.count(before) == 1, (path, before)
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
