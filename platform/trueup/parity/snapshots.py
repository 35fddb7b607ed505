"""Two training snapshots compared: their inputs first, then which rows and which features differ, and why. Pure.

Rows are paired by the id of the entity query. A cell is a value with its status; what the rest of parity calls served
and recomputed are here A and B. The label, the keys, the request values and the instant of a common row are compared
as well. A reason is what *may* have made the difference: an input that differs and that the feature depends on, or
`late_data` when all of those are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.datasets.changes import Change, Reason, feature_reasons, input_changes
from trueup.datasets.content import table_digest
from trueup.datasets.manifest import Manifest
from trueup.datasets.spec import INSTANT, LABEL_KNOWN_AT, Span
from trueup.datasets.training_set import TrainingSet
from trueup.frame import STATUS, FeatureFrame, Status
from trueup.parity.compare import NO_TIME, Codes, Mask, Outcome, compare
from trueup.parity.tally import shown
from trueup.stores.landing import micros

SCHEMA = "trueup.snapshots/1"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""
SAMPLES = 3
"""Differing cells shown of each feature, and rows of each side."""

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CellPair:
    """One differing cell. id: of its row. event_timestamp: of its row in A. a, b: the values, or their states."""

    id: str
    event_timestamp: str
    a: str
    b: str


@dataclass(frozen=True)
class ColumnDifference:
    """A feature, or a column of the entity rows, over the common rows.

    differ: cells whose value or status is not the same. other_row: cells that come from feature rows of other event
    times, whether or not their values differ. bits: no cell differs, and yet not every bit is the same (-0.0 and 0.0
    are one value). uncompared: why the types have no comparison.
    """

    column: str
    compared: int
    differ: int
    other_row: int = 0
    bits: bool = False
    reasons: tuple[Reason, ...] = ()
    samples: tuple[CellPair, ...] = ()
    uncompared: str | None = None

    def __bool__(self) -> bool:
        return bool(self.differ or self.other_row or self.bits or self.uncompared)


@dataclass(frozen=True)
class OnlyRows:
    """Rows that one side has alone. reasons: why -> how many. examples: some of their ids."""

    rows: int
    reasons: Mapping[Reason, int]
    examples: tuple[str, ...]


@dataclass(frozen=True)
class SnapshotDifference:
    """a, b: `name@id`. same: everything is but the name. content_same: every row, value and type is.

    changes: inputs that differ. reasons: why the bytes differ, all in all. rows: common ones. columns: those that
    differ or cannot be compared, entity columns first. only_columns: of each side alone.
    """

    a: str
    b: str
    same: bool
    content_same: bool
    changes: tuple[Change, ...]
    reasons: tuple[Reason, ...]
    rows: int
    only_a: OnlyRows
    only_b: OnlyRows
    only_columns_a: tuple[str, ...]
    only_columns_b: tuple[str, ...]
    columns: tuple[ColumnDifference, ...]

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class _Side:
    """places: its common rows, in the order of A."""

    manifest: Manifest
    data: TrainingSet
    places: Places

    def column(self, name: str) -> pa.ChunkedArray:
        """An entity column of the common rows."""
        return self.data.rows.column(name).take(pa.array(self.places))

    @cached_property
    def features(self) -> FeatureFrame:
        rows, frame = pa.array(self.places), self.data.features
        return FeatureFrame(frame.values.take(rows), frame.statuses.take(rows), frame.event_timestamps.take(rows))

    @property
    def alone(self) -> Places:
        return np.setdiff1d(np.arange(self.data.rows.num_rows), self.places)


def compare_snapshots(
    manifests: tuple[Manifest, Manifest], data: tuple[TrainingSet, TrainingSet]
) -> SnapshotDifference:
    """A and B: their manifests, and the training sets that were loaded from their parts."""
    places = _pairs(manifests, data)
    a, b = (_Side(*side) for side in zip(manifests, data, places, strict=True))
    changes = input_changes(a.manifest, b.manifest)
    only_a, only_b = _only(a, b, changes), _only(b, a, changes)
    columns: tuple[ColumnDifference, ...] = ()
    if len(a.places):
        entity = _entity_columns(a, b, changes)
        columns = (*entity, *_features(a, b, asked_same=not any(found for found in entity if _asks(a, found.column))))
        columns = tuple(found for found in columns if found)
    names = [[*side.data.rows.column_names, *side.data.features.columns] for side in (a, b)]
    content_same = a.manifest.content == b.manifest.content
    found = [*only_a.reasons, *only_b.reasons, *(reason for column in columns for reason in column.reasons)]
    if a.manifest.writer != b.manifest.writer:
        found.append("writer")
    same = a.manifest.id == replace(b.manifest, spec=replace(b.manifest.spec, name=a.manifest.spec.name)).id
    if not same and not changes and not found:
        found.append("late_data")  # seen in counts alone: of rows that the sample leaves out
    return SnapshotDifference(
        a=str(a.manifest),
        b=str(b.manifest),
        same=same,
        content_same=content_same,
        changes=changes,
        reasons=tuple(dict.fromkeys([*(change.reason for change in changes), *found])),
        rows=len(a.places),
        only_a=only_a,
        only_b=only_b,
        only_columns_a=tuple(name for name in names[0] if name not in names[1]),
        only_columns_b=tuple(name for name in names[1] if name not in names[0]),
        columns=columns,
    )


def _pairs(manifests: tuple[Manifest, Manifest], data: tuple[TrainingSet, TrainingSet]) -> tuple[Places, Places]:
    """Where the common rows stand on each side. Ids of other names name other things: no row is common then."""
    names = [manifest.spec.rows.id for manifest in manifests]
    if names[0] != names[1]:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    ids = [each.rows.column(name).combine_chunks() for each, name in zip(data, names, strict=True)]
    if ids[0].type != ids[1].type:
        ids = [each.cast(pa.string()) for each in ids]
    partner = pc.index_in(ids[0], value_set=ids[1])
    where = np.flatnonzero(partner.is_valid().to_numpy(zero_copy_only=False))
    return where, partner.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)


def _only(side: _Side, other: _Side, changes: Sequence[Change]) -> OnlyRows:
    """Why the other side does not have them: the first that applies of window, as-of, sample, query, late data."""
    alone = side.alone
    rows = side.data.rows.take(pa.array(alone))
    spec, theirs = side.manifest.spec, other.manifest.spec
    instants, known = (_micros(rows.column(name)) for name in (INSTANT, LABEL_KNOWN_AT))
    in_train = _within(instants, theirs.train)
    changed = {change.reason for change in changes}
    everywhere: Mask = np.ones(len(alone), np.bool_)
    sampled = in_train & (theirs.rows.sample is not None)
    tests: Sequence[tuple[Reason, Mask]] = (
        ("entity_query", everywhere & (spec.rows.id != theirs.rows.id)),
        ("window", ~in_train & ~_within(instants, theirs.holdout)),
        ("as_of", known > micros(theirs.pinned)),
        ("sample", sampled & ("sample" in changed)),
        ("entity_query", everywhere & ("entity_query" in changed)),
        # The sample is of the same size, but drawn from other rows.
        ("sample", sampled & bool(changed & {"window", "as_of"})),
        ("late_data", everywhere),
    )
    reasons: dict[Reason, int] = {}
    left = everywhere
    for reason, applies in tests:
        if count := int(np.count_nonzero(left & applies)):
            reasons[reason] = reasons.get(reason, 0) + count
        left = left & ~applies
    examples = rows.column(spec.rows.id).slice(0, SAMPLES).to_pylist()
    return OnlyRows(len(alone), reasons, tuple(map(shown, examples)))


def _entity_columns(a: _Side, b: _Side, changes: Sequence[Change]) -> list[ColumnDifference]:
    common = [name for name in a.data.rows.column_names if name in b.data.rows.column_names]
    names = [name for name in common if name != a.manifest.spec.rows.id]
    changed = any(change.reason == "entity_query" for change in changes)
    frames = [_plain_frame(side, names) for side in (a, b)]
    codes = compare(*frames, views={}).codes
    return [
        _column(a, name, frames, codes[name], None, ("entity_query" if changed else "late_data",)) for name in names
    ]


def _features(a: _Side, b: _Side, *, asked_same: bool) -> list[ColumnDifference]:
    """asked_same: whether every common row has the same keys, instant and request values on both sides."""
    contract = a.manifest.contract
    frames = [a.features, b.features]
    names = [name for name in a.features.columns if name in b.features.columns]
    views = {view.column(item.name): view.name for view in contract.views for item in view.features}
    views = {name: view for name, view in views.items() if _has_times(frames, view)}
    dtypes = {name: dtype for name, dtype in contract.dtypes.items() if name in names}
    codes = compare(*(frame.select(names) for frame in frames), views=views, dtypes=dtypes).codes
    differing = {name: _differs(codes[name]) for name in names}
    found = []
    for name in names:
        reasons = feature_reasons(a.manifest, b.manifest, name)
        if asked_same:
            reasons = tuple(reason for reason in reasons if reason != "entity_query")
        if not reasons:
            reasons = ("unexplained",) if asked_same and _inputs_same(a, name, differing) else ("late_data",)
        found.append(_column(a, name, frames, codes[name], _other_rows(frames, views.get(name)), reasons))
    return found


def _inputs_same(a: _Side, column: str, differing: Mapping[str, Mask]) -> bool:
    """Whether a feature is computed by a function whose inputs can all be seen, and are the same where it differs."""
    for odfv in a.manifest.contract.on_demand:
        if column in {odfv.column(item.name) for item in odfv.outputs}:
            inputs = [f"{view}__{name}" for view, name in odfv.inputs]
            return all(name in differing and not (differing[name] & differing[column]).any() for name in inputs)
    return False


def _asks(side: _Side, column: str) -> bool:
    """Whether an entity column decides what features are read."""
    contract = side.manifest.contract
    return column == INSTANT or column in {item.name for item in (*contract.entity_fields, *contract.request_fields)}


def _column(
    a: _Side,
    name: str,
    frames: Sequence[FeatureFrame],
    codes: Codes,
    other_rows: Mask | None,
    reasons: tuple[Reason, ...],
) -> ColumnDifference:
    differs = _differs(codes)
    types = [str(frame.values.schema.field(name).type) for frame in frames]
    uncompared = f"{types[0]} and {types[1]}" if (codes == Outcome.NOT_COMPARED).any() else None
    bits = not differs.any() and len({table_digest(frame.values.select([name])) for frame in frames}) > 1
    found = ColumnDifference(
        column=name,
        compared=int(np.count_nonzero(codes != Outcome.NOT_COMPARED)),
        differ=int(np.count_nonzero(differs)),
        other_row=0 if other_rows is None else int(np.count_nonzero(other_rows)),
        bits=bits,
        uncompared=uncompared,
    )
    if not found:
        return found
    samples = tuple(_pair(a, name, frames, int(row)) for row in np.flatnonzero(differs)[:SAMPLES])
    return replace(found, reasons=reasons, samples=samples)


def _pair(a: _Side, name: str, frames: Sequence[FeatureFrame], row: int) -> CellPair:
    texts = [_text(frame, name, row) for frame in frames]
    asked = (a.column(column)[row].as_py() for column in (a.manifest.spec.rows.id, INSTANT))
    return CellPair(*map(shown, asked), *texts)


def _text(frame: FeatureFrame, name: str, row: int) -> str:
    status = Status(frame.statuses.column(name)[row].as_py())
    return shown(frame.values.column(name)[row].as_py()) if status == Status.PRESENT else status.name.lower()


def _differs(codes: Codes) -> Mask:
    """Unlike an online store, a snapshot does not forget: missing here and expired there is a difference."""
    differs: Mask = (codes >= Outcome.VALUE) | (codes == Outcome.FORGOTTEN)
    return differs


def _plain_frame(side: _Side, names: Sequence[str]) -> FeatureFrame:
    values = pa.table({name: side.column(name) for name in names})
    present, null = pa.scalar(int(Status.PRESENT), STATUS), pa.scalar(int(Status.NULL), STATUS)
    statuses = {name: pc.if_else(values.column(name).is_valid(), present, null) for name in names}
    return FeatureFrame(values, pa.table(statuses), pa.table({}))


def _has_times(frames: Sequence[FeatureFrame], view: str) -> bool:
    return all(view in frame.event_timestamps.column_names for frame in frames)


def _other_rows(frames: Sequence[FeatureFrame], view: str | None) -> Mask | None:
    """Where the values come from feature rows of other event times; None for a feature that has none."""
    if view is None:
        return None
    one, other = (_micros(frame.event_timestamps.column(view)) for frame in frames)
    different: Mask = one != other
    return different


def _micros(instants: pa.ChunkedArray) -> Places:
    """Microseconds since 1970 UTC; NO_TIME for null."""
    numbers = instants.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    found: Places = pc.fill_null(numbers, int(NO_TIME)).to_numpy()
    return found


def _within(instants: Places, window: Span) -> Mask:
    inside: Mask = (instants >= micros(window.start)) & (instants < micros(window.end))
    return inside
