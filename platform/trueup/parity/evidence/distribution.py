"""A model's training rows and what it was served, or two windows of what it was served, as samples to compare."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError, TrueupError
from trueup.eventlog.reader import ServedLog, find_logs, read_contract, read_log
from trueup.eventlog.records import MODEL, MODEL_VERSION, REQUEST_ID, ROW
from trueup.instants import format_instant
from trueup.models.reference import REFERENCE_FILE, read_reference
from trueup.parity.checks.distribution import Sample, Samples
from trueup.parity.distribution.settings import DriftSettings
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.evidence.recompute import distinct
from trueup.parity.explain import take

FileOf = Callable[[str, str, str], bytes]
"""A file kept with a registered model, by its name, version and the file's name; a TrueupError when there is none."""

Block = Literal["row", "hour", "day"]
"""What is independent: every row, or the rows of different hours or days (of the newest reading a row shows)."""

_MICROS: Mapping[str, int] = {
    name: length // timedelta(microseconds=1)
    for name, length in (("hour", timedelta(hours=1)), ("day", timedelta(days=1)))
}


@dataclass(frozen=True)
class Window:
    """Served rows: start <= instant < end, UTC; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    def __str__(self) -> str:
        start = "" if self.start is None else f" from {format_instant(self.start)}"
        end = "" if self.end is None else f" until {format_instant(self.end)}"
        return f"{start}{end}"

    def check(self, field: str) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise InputError(
                field, f"{field}: {format_instant(self.start)} is not before {format_instant(self.end)}, so no row is."
            )

    def overlaps(self, other: Window) -> bool:
        def before(end: datetime | None, start: datetime | None) -> bool:
            return end is not None and start is not None and end <= start

        return not before(self.end, other.start) and not before(other.end, self.start)


def drift_samples(
    log_dir: Path,
    file_of: FileOf,
    *,
    window: Window,
    against: Window | None = None,
    models: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    block: Block = "hour",
    settings: DriftSettings | None = None,
    progress: Progress = nothing,
) -> Iterator[Samples | Unreadable]:
    """Each model version that served within the window, by log directory and name, with what to hold it against.

    against: another window of the same model's log, whichever of its versions served then; None: the rows the version
    was trained on. models: registered names; all by default. features: names of the frame (`view__feature`).

    Raises InputError when there is no log, when windows are empty or overlap, or for a feature that no model has. A
    model without reference rows, or that served nothing, is `Unreadable` and says so.
    """
    if block not in get_args(Block):
        raise InputError("block", f"block: {block!r} is not one of {', '.join(get_args(Block))}.")
    window.check("window")
    if against is not None:
        against.check("against")
        if window.overlaps(against):
            raise InputError(
                "against",
                f"against: the window{against} overlaps the window{window}; rows would be compared with themselves.",
                hint="Give both an end or a start that keeps them apart.",
            )
    directories = find_logs(log_dir) if log_dir.is_dir() else ()
    if not directories:
        raise InputError(
            "log",
            f"log: there is no served log under {log_dir}.",
            hint="Name the directory the server writes to (its setting log_dir), or serve some requests first.",
        )
    settings = settings or DriftSettings()
    known = {name for directory in directories for name in read_contract(directory).columns}
    _check_features("feature", features or (), known)
    _check_features("drift.min_effect", (name.partition("[")[0] for name in settings.min_effect), known)
    found: set[str] = set()
    for directory in directories:
        progress(f"read {directory.parent.name}/{directory.name}")
        log = read_log(directory, start=window.start, end=window.end, models=models)
        earlier = read_log(directory, start=against.start, end=against.end, models=models) if against else None
        for model, version in _versions(log.table):
            progress(f"check {model}@{version}")
            found.add(model)
            rows = _of(log.table, model, version)
            try:
                note: dict[str, str] = {}
                if earlier is None or against is None:
                    reference = _trained_on(file_of, model, version)
                else:
                    reference, note = _served(earlier, _of(earlier.table, model), f"served{against}")
                current, repeated = _served(log, rows, f"served{window}")
                yield Samples(
                    subject=model,
                    version=version,
                    reference=_blocked(reference, block),
                    current=_blocked(current, block),
                    settings=settings,
                    service=log.contract.service,
                    contract=log.contract.hash,
                    features=None if features is None else tuple(features),
                    notes={**{f"reference {name}": text for name, text in note.items()}, **repeated},
                )
            except TrueupError as error:
                yield Unreadable(model, version, len(rows), str(error))
    for model in models or ():
        if model not in found:
            yield Unreadable(model, "", 0, f"{model} served no rows{window}.")


def _trained_on(file_of: FileOf, model: str, version: str) -> Sample:
    frame, rows = read_reference(file_of(model, version, REFERENCE_FILE))
    kept = f"{rows:,} rows" if rows == frame.num_rows else f"{frame.num_rows:,} of {rows:,} rows"
    return Sample(f"training set of {model}@{version}, {kept}", frame)


def _served(log: ServedLog, rows: npt.NDArray[np.int64], name: str) -> tuple[Sample, dict[str, str]]:
    """Each request row once: a model that answered and one that was a shadow were served the same read."""
    chosen = log.table.select([REQUEST_ID, ROW]).take(pa.array(rows))
    _, number = distinct(chosen)
    first = np.sort(np.unique(number, return_index=True)[1])
    repeated = len(rows) - len(first)
    note = {"repeated rows": f"{repeated:,} log rows repeat a request row and were left out"} if repeated else {}
    return Sample(name.strip(), take(log.frame, rows[first])), note


def _blocked(sample: Sample, block: Block) -> Sample:
    if block == "row":
        return sample
    times = [column.cast(pa.int64()) for column in sample.rows.event_timestamps.columns]
    if not times:
        raise InputError(
            "block", f"{sample.name}: the rows carry no event time to make blocks of.", hint="Say --block row."
        )
    newest = pc.max_element_wise(*times) if len(times) > 1 else times[0]
    # A row of entities that no view knows has no time of its own; rows stand in order, so it goes with its neighbours.
    known = pc.fill_null(pc.fill_null_forward(newest), 0)
    return replace(sample, blocks=np.asarray(known).astype(np.int64) // _MICROS[block])


def _versions(table: pa.Table) -> list[tuple[str, str]]:
    pairs, _ = distinct(table.select([MODEL, MODEL_VERSION]))
    return sorted((str(pair[MODEL]), str(pair[MODEL_VERSION])) for pair in pairs.to_pylist())


def _of(table: pa.Table, model: str, version: str | None = None) -> npt.NDArray[np.int64]:
    """Row numbers of a model, or of one of its versions."""
    wanted = pc.equal(table.column(MODEL), model)
    if version is not None:
        wanted = pc.and_(wanted, pc.equal(table.column(MODEL_VERSION), version))
    return np.flatnonzero(np.asarray(pc.fill_null(wanted, False))).astype(np.int64)


def _check_features(field: str, features: Iterable[str], known: Collection[str]) -> None:
    for feature in features:
        if feature not in known:
            raise InputError(
                field,
                f"{field}: no feature service in the log has {feature!r}.",
                hint=f"Features: {', '.join(sorted(known))}.",
            )
