"""Served logs that trueup did not write: Parquet in Feast's own log schema, or in any other with a column map.

A log is a file, a directory with everything under it, or a glob. Directories named `name=value` (Hive partitions) are
columns. Nothing is skipped unsaid: a file that cannot be read is a `Damaged`, one that is no log of the feature service
is counted in a note.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.contracts.readable import readable
from trueup.errors import InputError
from trueup.eventlog.column_map import ColumnMap
from trueup.eventlog.layout import SUFFIX
from trueup.eventlog.logged import LoggedRows, foreign_rows, known_columns
from trueup.eventlog.parquet import Damaged, Footer, as_plain, files_under, read_batches, read_footer
from trueup.eventlog.records import LOG_TIMESTAMP, event_timestamp
from trueup.wording import counted

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ForeignFile:
    """A file of a log. columns: as they are in it, Hive partitions included. partitions: name -> value as text."""

    footer: Footer
    columns: tuple[str, ...]
    partitions: Mapping[str, str | None]


@dataclass(frozen=True)
class ForeignLog:
    """The files at one path, oldest first. others: files that are no Parquet, by their names."""

    path: Path
    files: tuple[ForeignFile, ...]
    damaged: tuple[Damaged, ...] = ()
    others: tuple[Path, ...] = ()
    columns: ColumnMap | None = None

    def column_names(self) -> tuple[str, ...]:
        """Every column of any file, under Feast's names where the map gives one."""
        names = dict.fromkeys(name for file in self.files for name in file.columns)
        return tuple({**names, **dict.fromkeys([*self._map.columns, *self._map.constants])})

    @property
    def _map(self) -> ColumnMap:
        return self.columns or ColumnMap()

    def of(self, service: FeatureContract) -> ServiceLog:
        """The part of it that is a log of this feature service.

        A file belongs to it if it has one of the service's features. Raises InputError when none does, and for a map
        that names what the service has not.
        """
        self._map.check(service)
        known = readable(service)
        contract = known.contract
        mine = tuple(file for file in self.files if self._features(file, contract))
        if not mine and not self.damaged:
            raise InputError(
                "log",
                f"log: nothing under {self.path} is a served log of service {contract.service!r}: "
                + (
                    f"its columns are {', '.join(self.column_names())}; expected {', '.join(contract.columns)}."
                    if self.files
                    else "there is no Parquet file."
                ),
                hint="Name the service with --service, or the columns with a column map (--map).",
            )
        aside = tuple(file for file in self.files if file not in mine)
        return ServiceLog(self, service, contract, known.left_out, mine, aside)

    def _features(self, file: ForeignFile, contract: FeatureContract) -> list[str]:
        """The service's features that a file has."""
        return [name for name in contract.columns if self._map.columns.get(name, name) in file.columns]


@dataclass(frozen=True)
class ServiceLog:
    """The files of one feature service's log.

    service: the contract of the whole service. contract: of what can be read of it. left_out: feature -> why it cannot.
    aside: files of the same path that are none of it.
    """

    log: ForeignLog
    service: FeatureContract
    contract: FeatureContract
    left_out: Mapping[str, str]
    files: tuple[ForeignFile, ...]
    aside: tuple[ForeignFile, ...] = ()

    def notes(self) -> dict[str, str]:
        """What is under the path and is not looked at, as a report says it."""
        found: dict[str, str] = {}
        if self.aside:
            rows = sum(file.footer.rows for file in self.aside)
            names = _names(file.footer.path for file in self.aside)
            found["Parquet files that are no log of the service"] = f"{names} ({counted(rows, 'row')})"
        if self.log.others:
            found["files that are no Parquet"] = _names(self.log.others)
        if unknown := self.unknown_columns():
            found["columns nothing is known of"] = ", ".join(unknown)
        return found

    def unknown_columns(self) -> list[str]:
        mapped = self.log.columns or ColumnMap()
        known = known_columns(self.service) | set(mapped.columns.values())
        return sorted({name for file in self.files for name in file.columns if name not in known})

    def read(self) -> Iterator[tuple[datetime, LoggedRows | Damaged]]:
        """Its rows, file by file, each with an instant that none of the following files begins before."""
        for damaged in self.log.damaged:
            yield _BEGINNING, damaged
        for position, file in enumerate(self.files):
            later = [_earliest(other) for other in self.files[position:]]
            for found in self._read(file):
                yield min(later), found

    def _read(self, file: ForeignFile) -> Iterator[LoggedRows | Damaged]:
        mapped = self.log.columns or ColumnMap()
        done = 0
        for table in read_batches(file.footer.path):
            if isinstance(table, Damaged):
                yield table
                return
            try:
                yield foreign_rows(
                    self.contract,
                    mapped.applied(_with_partitions(as_plain(table), file.partitions)),
                    unit=mapped.timestamp.unit,
                    time_zone=mapped.timestamp.time_zone,
                    # Feast's own schema has whole seconds; ours, beside it, the exact event times.
                    precision=_precision(file, self.contract, self.log.columns),
                )
            except InputError as error:
                yield Damaged(file.footer.path, file.footer.rows - done, f"cannot be compared: {error}")
                return
            done += table.num_rows


def find_foreign_log(path: Path, columns: ColumnMap | None = None) -> ForeignLog:
    """path: a file, a directory or a glob. Reads the files' footers only.

    Raises InputError when there is nothing, or nothing that can be read as Parquet among files that were named.
    """
    named, found, closed = _listed(path)
    paths = [file for file in found if named or file.suffix == SUFFIX]
    others = tuple(file for file in found if file not in set(paths))
    if not paths and not closed:
        there = f"it holds {_names(others)}" if others else "it is empty"
        raise InputError(
            "log",
            f"log: there is no Parquet file under {path}: {there}.",
            hint="Name the directory that Feast's write_logged_features wrote to, one of its files, or a glob.",
        )
    instant = columns.timestamp.column if columns is not None else LOG_TIMESTAMP
    footers = [read_footer(file, instant) for file in paths]
    damaged = [*(footer for footer in footers if isinstance(footer, Damaged)), *closed]
    files = []
    for footer in footers:
        if isinstance(footer, Footer):
            if twice := [name for name in footer.schema.names if footer.schema.names.count(name) > 1]:
                damaged.append(Damaged(footer.path, footer.rows, f"has two columns named {twice[0]!r}"))
                continue
            partitions = _partitions(path, footer.path)
            names = tuple(dict.fromkeys([*footer.schema.names, *partitions]))
            files.append(ForeignFile(footer, names, partitions))
    if not files:
        first = damaged[0]
        raise InputError("log", f"log: no file under {path} can be read: {first.path.name} {first.problem}.")
    files.sort(key=lambda file: (_earliest(file), file.footer.path))
    return ForeignLog(path, tuple(files), tuple(damaged), others, columns)


def _listed(path: Path) -> tuple[bool, list[Path], list[Damaged]]:
    """Whether the files were named one by one; the files, sorted; and what cannot be looked into."""
    if path.is_dir():
        return False, *files_under(path)
    if path.exists():
        return True, [path], []
    # `Path.glob` takes no absolute pattern.
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True)) if glob.has_magic(str(path)) else []  # noqa: PTH207
    if not found:
        raise InputError("log", f"log: there is nothing at {path}.", hint="Name a file, a directory or a glob.")
    files = [file for file in found if not file.is_dir()]
    closed: list[Damaged] = []
    for folder in (folder for folder in found if folder.is_dir()):
        inside, refused = files_under(folder)
        files += [file for file in inside if file.suffix == SUFFIX]
        closed += refused
    return True, sorted(set(files)), closed


def _partitions(root: Path, path: Path) -> dict[str, str | None]:
    folders = path.relative_to(root).parts[:-1] if root in path.parents else path.parts[:-1]
    pairs = (part.partition("=") for part in folders if "=" in part)
    return {name: None if value == _HIVE_NULL else unquote(value) for name, _, value in pairs}


def _with_partitions(table: pa.Table, partitions: Mapping[str, str | None]) -> pa.Table:
    """A partition's column has the type its text reads as: whole number or text. One in the file wins."""
    for name, text in partitions.items():
        if name not in table.column_names:
            column = pa.array([text] * table.num_rows, pa.string())
            if text is not None and text.removeprefix("-").isdecimal():
                column = column.cast(pa.int64())
            table = table.append_column(name, column)
    return table


def _precision(file: ForeignFile, contract: FeatureContract, columns: ColumnMap | None) -> str:
    if columns is not None and columns.event_times:
        return columns.event_time_precision
    exact = all(event_timestamp(view.name) in file.columns for view in contract.views)
    return "us" if exact else "s"


def _earliest(file: ForeignFile) -> datetime:
    return file.footer.earliest or _BEGINNING


def _names(paths: Iterable[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
