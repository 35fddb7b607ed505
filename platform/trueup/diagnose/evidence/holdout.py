"""The holdout as its run recorded it, and as the sources give it today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.datasets.entity_rows import read_entity_rows
from trueup.datasets.ledger_state import PinnedLedger
from trueup.datasets.snapshot import Snapshot, open_snapshot
from trueup.datasets.spec import INSTANT
from trueup.diagnose.evidence.places import Places
from trueup.diagnose.evidence.promised import Promised
from trueup.diagnose.facts import HoldoutFacts, Known, Missing, Predicted, Texts
from trueup.errors import TrueupError
from trueup.features.historical import read_as_of
from trueup.frame import FeatureFrame
from trueup.parity.evidence.models import Progress
from trueup.wording import counted

_LINES = 4


@dataclass(frozen=True)
class _Rows:
    """Holdout rows with their features. table: entity rows."""

    table: pa.Table
    features: FeatureFrame
    ids: Texts
    labels: np.ndarray[tuple[int], np.dtype[np.float64]]


def holdout_facts(
    promised: Promised, places: Places, *, served_by: FeatureContract | None, columns: Sequence[str], progress: Progress
) -> HoldoutFacts:
    """served_by: the contract that rows were served under, where there are some. columns: of the entity rows, whose
    levels are segments."""
    card = promised.bundle.card
    logged: Known[Mapping[str, float]] = dict(card.metrics)
    if card.adopted is not None:
        logged = Missing("the model was adopted, and nobody recorded its holdout metric")
    progress("the holdout's snapshot")
    snapshot = _snapshot(promised, places)
    if isinstance(snapshot, Missing):
        return HoldoutFacts(logged, snapshot, snapshot, snapshot, culprits=promised.culprits)
    recorded = _recorded_rows(snapshot)
    progress("the holdout, from the sources as they are now")
    today = _today(snapshot, snapshot.manifest.contract, places)
    as_served: Known[_Rows] | None = None
    if served_by is not None and served_by.hash != snapshot.manifest.contract.hash:
        progress("the holdout, under the definitions that were served")
        as_served = _today(snapshot, served_by, places)
    progress("predict the holdout")
    last = as_served if as_served is not None else today
    evidence = {}
    if isinstance(recorded, _Rows) and isinstance(today, _Rows):
        evidence["data"] = tuple(_changes(recorded, today))
    if isinstance(as_served, _Rows) and served_by is not None:
        differences = snapshot.manifest.contract.diff(served_by)
        evidence["code"] = tuple(f"{each.part}: {each.detail}." for each in differences[:_LINES])
    return HoldoutFacts(
        logged=logged,
        recorded=_recorded(promised, recorded),
        kept=_predicted(promised, recorded),
        today=_predicted(promised, today),
        same_fit=promised.same_fit,
        as_served=None if as_served is None else _predicted(promised, as_served),
        segments=_segments(last.table, columns) if isinstance(last, _Rows) else {},
        culprits=promised.culprits,
        evidence=evidence,
    )


def _snapshot(promised: Promised, places: Places) -> Known[Snapshot]:
    ref = promised.bundle.card.snapshot
    if ref is None:
        return Missing("the run recorded no snapshot of what it learned from")
    try:
        return open_snapshot(ref, places.datasets)
    except TrueupError as error:
        return Missing(f"its snapshot cannot be read ({error.message.rstrip('.')}; try `trueup dataset restore {ref}`)")


def _recorded_rows(snapshot: Snapshot) -> Known[_Rows]:
    try:
        data = snapshot.load()
    except TrueupError as error:
        return Missing(f"its snapshot is damaged ({error.message.rstrip('.')})")
    count, begin = data.counts.holdout, data.counts.train
    rows = data.rows.slice(begin, count)
    return _rows(snapshot, rows, data.features.slice(begin, count))


def _today(snapshot: Snapshot, contract: FeatureContract, places: Places) -> Known[_Rows]:
    """What the recorded query and rule give now, pinned as they were, under these definitions."""
    spec = snapshot.manifest.spec
    ledger = None if places.ledger is None else PinnedLedger(places.ledger, spec.pinned)
    try:
        table, counts = read_entity_rows(spec, contract, repo=places.repo)
        rows = table.slice(counts.train, counts.holdout)
        features = read_as_of(contract, rows, spec.rule, repo=places.repo, ledger=ledger, instant=INSTANT)
    except TrueupError as error:
        return Missing(f"the holdout cannot be read from the sources ({error.message.rstrip('.')})")
    return _rows(snapshot, rows, features)


def _rows(snapshot: Snapshot, table: pa.Table, features: FeatureFrame) -> _Rows:
    spec = snapshot.manifest.spec.rows
    ids = np.array([str(value) for value in table.column(spec.id).to_pylist()], dtype=np.object_)
    labels = pc.cast(pc.cast(table.column(spec.label), pa.int8()), pa.float64()).to_numpy().astype(np.float64)
    return _Rows(table, features, ids, labels)


def _recorded(promised: Promised, rows: Known[_Rows]) -> Known[Predicted]:
    if isinstance(rows, Missing):
        return rows
    found = promised.predictions
    if isinstance(found, Missing):
        return found
    if len(found) != len(rows.ids):
        return Missing(f"the run kept {len(found):,} predictions of {len(rows.ids):,} holdout rows")
    return Predicted(rows.ids, rows.labels, found)


def _predicted(promised: Promised, rows: Known[_Rows]) -> Known[Predicted]:
    """By the kept model, here."""
    if isinstance(rows, Missing):
        return rows
    try:
        return Predicted(rows.ids, rows.labels, promised.bundle.predict(rows.features))
    except (TrueupError, ValueError) as error:  # ValueError: what an estimator raises for rows it cannot take
        return Missing(f"the model in the store cannot predict the holdout ({str(error).rstrip('.')})")


def _segments(table: pa.Table, columns: Sequence[str]) -> dict[str, Texts]:
    return {name: texts(table.column(name)) for name in columns if name in table.column_names}


def texts(column: pa.ChunkedArray) -> Texts:
    """Levels of a segment; null is a level, too."""
    return np.array(["null" if value is None else str(value) for value in column.to_pylist()], dtype=np.object_)


def _changes(before: _Rows, after: _Rows) -> Iterator[str]:
    """What the sources say otherwise now, sentences."""
    mine, theirs = set(before.ids.tolist()), set(after.ids.tolist())
    gone, new = mine - theirs, theirs - mine
    if gone or new:
        yield f"{counted(len(gone), 'holdout row')} are not in the sources any more, {len(new):,} are new."
    where = {name: at for at, name in enumerate(after.ids.tolist())}
    pairs = [(at, where[name]) for at, name in enumerate(before.ids.tolist()) if name in where]
    if not pairs:
        return
    first, second = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    relabelled = int((before.labels[first] != after.labels[second]).sum())
    if relabelled:
        yield f"{counted(relabelled, 'label')} of {len(pairs):,} are others now."
    found = []
    for name in before.features.columns:
        if name in after.features.columns:
            a = before.features.values.column(name).take(pa.array(first)).combine_chunks()
            b = after.features.values.column(name).take(pa.array(second)).combine_chunks()
            if count := _differ(a, b):
                found.append((count, name))
    for count, name in sorted(found, reverse=True)[:_LINES]:
        yield f"{count / len(pairs):.1%} of `{name}` values of the holdout are others now."


def _differ(a: pa.Array, b: pa.Array) -> int:
    """How many values are not the same; null is null, NaN is NaN."""
    if a.type != b.type:
        return len(a)
    if a.equals(b):
        return 0
    return sum(x != y and not (x != x and y != y) for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True))
