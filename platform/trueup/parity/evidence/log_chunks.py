"""A served log in chunks of bounded size: which rows are compared, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.eventlog.logged import LoggedRows, together
from trueup.eventlog.parquet import Damaged
from trueup.eventlog.records import MODEL, MODEL_VERSION, REQUEST_ID, ROLE, ROW
from trueup.parity.compare import Mask, add_counts
from trueup.parity.evidence.recompute import distinct, micros
from trueup.parity.evidence.repeats import Repeats
from trueup.parity.evidence.sample import in_sample
from trueup.wording import counted

BATCH_ROWS = 500_000
"""Rows compared at a time: each source is read once a chunk, so fewer, larger chunks are faster."""

Name = tuple[str | None, str | None]
"""Registered model and version; None where the log names none."""

NO_INSTANT = "no instant"
FUTURE = "from the future: served after now"
COPY = "an exact copy of a row that was compared"
UNSAMPLED = "left out of the sample"
CONTRADICTING = "rows of one request, row and model that differ (each is compared)"
_REASONS = ("", NO_INSTANT, FUTURE, COPY, UNSAMPLED)


@dataclass(frozen=True)
class Selection:
    """Which rows are looked at; None: no bound. start, end: start <= instant < end. models: registered names. service:
    of logs of ours. now: rows served after it are from the future. sample: share of the entities."""

    start: datetime | None = None
    end: datetime | None = None
    models: Sequence[str] | None = None
    service: str | None = None
    now: datetime | None = None
    sample: float = 1.0
    batch_rows: int = BATCH_ROWS


@dataclass
class LeftOut:
    """What is in no chunk. rows: model -> reason -> rows. notes: model -> what was found -> how often."""

    rows: dict[Name, dict[str, int]] = field(default_factory=dict)
    notes: dict[Name, dict[str, int]] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)

    def count(self, model: Name, reasons: Mapping[str, int]) -> None:
        self.rows[model] = add_counts(self.rows.get(model, {}), reasons)

    def note(self, model: Name, found: Mapping[str, int]) -> None:
        self.notes[model] = add_counts(self.notes.get(model, {}), found)

    def problem(self, root: Path) -> str | None:
        """The files that could not be read, as a sentence."""
        if not self.damaged:
            return None
        unknown = any(file.rows is None for file in self.damaged)
        rows = sum(file.rows or 0 for file in self.damaged)
        how_many = "nobody can say how many rows they hold" if unknown else f"{counted(rows, 'row')} not compared"
        named = "; ".join(f"{_relative(file.path, root)} {file.problem}" for file in self.damaged[:3])
        more = f"; and {len(self.damaged) - 3} more" if len(self.damaged) > 3 else ""
        return f"{counted(len(self.damaged), 'file')} of the log left out, {how_many}: {named}{more}"


def chunks(
    pieces: Iterable[tuple[datetime, LoggedRows | Damaged]], selection: Selection, left: LeftOut
) -> Iterator[LoggedRows]:
    """The rows to compare, in chunks of one shape and at most `batch_rows` rows (a piece more); each is sorted by
    instant, request, row, role and model. What is not in them is written to `left`.

    pieces: rows of a log, each with an instant that no later piece begins before.
    """
    waiting: dict[tuple[object, ...], list[LoggedRows]] = {}
    repeats = Repeats()
    for earliest, piece in pieces:
        if isinstance(piece, Damaged):
            left.damaged.append(piece)
            continue
        if earliest.year > 1:
            repeats.forget_before(micros(earliest))
        kept = _select(piece, selection, repeats, left)
        if not kept.num_rows:
            continue
        mine = waiting.setdefault(kept.shape, [])
        mine.append(kept)
        if sum(part.num_rows for part in mine) >= selection.batch_rows:
            yield _sorted(together(waiting.pop(kept.shape)))
    for parts in waiting.values():
        yield _sorted(together(parts))


def instants(at: pa.Array) -> npt.NDArray[np.int64]:
    """In microseconds since 1970, null as 0."""
    return np.asarray(pc.fill_null(at.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)).astype(np.int64)


def by_model(rows: LoggedRows) -> Iterator[tuple[Name, npt.NDArray[np.int64]]]:
    """Name, version and row numbers of each model version, sorted."""
    pairs, number = distinct(rows.labels.select([MODEL, MODEL_VERSION]))
    names = [(pair[MODEL], pair[MODEL_VERSION]) for pair in pairs.to_pylist()]
    for index in sorted(range(len(names)), key=lambda index: tuple(str(part) for part in names[index])):
        yield names[index], np.flatnonzero(number == index)


def _select(piece: LoggedRows, selection: Selection, repeats: Repeats, left: LeftOut) -> LoggedRows:
    at = instants(piece.at)
    known = np.asarray(piece.at.is_valid().to_numpy(zero_copy_only=False))
    asked = np.ones(len(at), np.bool_)
    # A row without instant is in no window, and out of none: it is counted.
    if selection.start is not None:
        asked &= ~known | (at >= micros(selection.start))
    if selection.end is not None:
        asked &= ~known | (at < micros(selection.end))
    if selection.models is not None:
        names = piece.labels.column(MODEL).combine_chunks()
        asked &= np.asarray(pc.is_in(names, pa.array(selection.models, pa.string())).to_numpy(zero_copy_only=False))
    if not asked.all():
        piece, at, known = piece.take(np.flatnonzero(asked)), at[asked], known[asked]
    reason = np.zeros(len(at), np.int8)

    def leave(mask: Mask, why: str) -> None:
        reason[mask & (reason == 0)] = _REASONS.index(why)

    leave(~known, NO_INSTANT)
    if selection.now is not None:
        leave(at > micros(selection.now), FUTURE)
    found = repeats.look(piece, at)
    leave(found.copies, COPY)
    leave(~_sampled(piece, selection.sample), UNSAMPLED)
    for model, rows in by_model(piece):
        counts = np.bincount(reason[rows], minlength=len(_REASONS)).tolist()
        left.count(model, {why: count for why, count in zip(_REASONS[1:], counts[1:], strict=True) if count})
        differ = int((found.contradicting[rows] & (reason[rows] == 0)).sum())
        if differ:
            left.note(model, {CONTRADICTING: differ})
    return piece if not reason.any() else piece.take(np.flatnonzero(reason == 0))


def _sampled(piece: LoggedRows, share: float) -> Mask:
    """By entity; by request where a service has no entity."""
    keys = [item.name for item in piece.contract.entity_fields]
    return in_sample(piece.inputs.select(keys) if keys else piece.labels.select([REQUEST_ID]), share)


def _sorted(rows: LoggedRows) -> LoggedRows:
    names = (REQUEST_ID, ROW, ROLE, MODEL)
    table = pa.table({"at": rows.at, **{name: rows.labels.column(name) for name in names}})
    order = pc.sort_indices(table, [(name, "ascending") for name in table.column_names])
    return rows.take(np.asarray(order).astype(np.int64))


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) and path != root else path.name
