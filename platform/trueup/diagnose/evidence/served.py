"""The rows a model scored, joined with what became of them, recomputed and explained cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.diagnose.evidence.holdout import texts
from trueup.diagnose.evidence.places import Places
from trueup.diagnose.evidence.promised import Promised
from trueup.diagnose.facts import Known, Missing, ServedFacts, Texts
from trueup.errors import InputError, TrueupError
from trueup.eventlog.labelled import LABEL_STATES, Absent
from trueup.eventlog.logged import LoggedRows
from trueup.eventlog.outcomes import Outcomes, join, resolved
from trueup.eventlog.records import LOG_TIMESTAMP, MODEL, MODEL_VERSION, PREDICTION, REQUEST_ID, ROLE, ROW, UNIT
from trueup.frame import FeatureFrame
from trueup.parity.compare import Outcome, add_counts
from trueup.parity.evidence.cases import Log, comparable, served_case
from trueup.parity.evidence.log_chunks import LeftOut, Selection, chunks
from trueup.parity.evidence.models import Progress
from trueup.parity.evidence.recompute import INSTANT, Source
from trueup.parity.evidence.served import own_logs
from trueup.parity.explain import examine

__all__ = ["Wanted", "served_facts"]

Role = str


@dataclass(frozen=True)
class Wanted:
    """Which served rows, and what became of them.

    outcomes: as they are known. delay, absent: see `trueup.experiments.metric.Metric`. since, until: half open. now:
    rows and outcomes of later are not known. roles: `answer`, `shadow` or both. segments: entity or request columns;
    None: those with few levels.
    """

    outcomes: Outcomes
    delay: timedelta
    absent: Absent
    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    roles: tuple[Role, ...] = ("answer", "shadow")
    segments: Sequence[str] | None = None


@dataclass(frozen=True)
class _Part:
    """Rows of a chunk whose outcome is known."""

    rows: LoggedRows
    labels: npt.NDArray[np.float64]
    mature: npt.NDArray[np.bool_]
    offline: Known[FeatureFrame]
    causes: Mapping[str, npt.NDArray[np.uint64]]
    mismatches: Mapping[str, npt.NDArray[np.bool_]]


_TOLD = ("duplicates", "restated", "ambiguous", "not yet known")
"""Of the outcomes. What has no row here may be another model's, or of another time."""
MOST_LEVELS = 12
MOST_COLUMNS = 2
"""Segments that are looked at when none is asked for."""


def served_facts(
    promised: Promised, places: Places, wanted: Wanted, progress: Progress
) -> tuple[Known[ServedFacts], FeatureContract | None]:
    """The facts, and the contract that the rows were served under. Of several contracts the one with most rows counts;
    rows of the others are counted.

    Raises InputError for a segment that the requests do not have, SourceError for a log that cannot be read.
    """
    selection = Selection(wanted.since, wanted.until, [promised.name], now=wanted.now)
    counts: dict[str, int] = {}
    found: dict[str, tuple[Log, list[LoggedRows], list[_Labelled]]] = {}
    try:
        logs = own_logs(places.log, selection)
    except InputError as error:
        return Missing(error.message.rstrip(".").removeprefix("log: ")), None
    # By the whole log: of the model's rows alone, another would seem the last before an outcome's instant.
    meant = resolved(places.log, wanted.outcomes, now=wanted.now)
    counts |= {f"outcomes {name}": count for name, count in meant.counts.items() if name in _TOLD and count}
    wanted = replace(wanted, outcomes=replace(meant, counts={}))
    left = LeftOut()
    for log in logs:
        progress(f"read {log.label}")
        for chunk in chunks(log.pieces, selection, left):
            rows, labelled = _with_outcome(chunk, wanted, counts)
            if rows.num_rows:
                mine = found.setdefault(log.contract.hash, (log, [], []))
                mine[1].append(rows)
                mine[2].append(labelled)
    for reasons in left.rows.values():
        counts = add_counts(counts, reasons)
    if problem := left.problem(places.log):
        counts[problem] = len(left.damaged)
    if not found:
        return Missing(_none(promised.name, counts, wanted)), None
    chosen = max(found, key=lambda name: sum(rows.num_rows for rows in found[name][1]))
    for name, (other, theirs, _) in found.items():
        if name != chosen:
            counts[f"served under another contract ({other.label})"] = sum(piece.num_rows for piece in theirs)
    log, pieces, labels = found[chosen]
    inputs = promised.bundle.card.inputs
    if absent := [name for name in inputs if name not in log.contract.columns]:
        return Missing(f"the served rows do not have {', '.join(absent[:3])}, which the model eats"), log.contract
    parts = [
        _part(rows, labelled, log, promised, places, progress) for rows, labelled in zip(pieces, labels, strict=True)
    ]
    return _facts(parts, promised, wanted, counts), log.contract


@dataclass(frozen=True)
class _Labelled:
    labels: npt.NDArray[np.float64]
    mature: npt.NDArray[np.bool_]


def _with_outcome(chunk: LoggedRows, wanted: Wanted, counts: dict[str, int]) -> tuple[LoggedRows, _Labelled]:
    """The rows whose outcome is known so far. counts: told of the others."""
    roles = chunk.labels.column(ROLE).combine_chunks()
    asked = np.asarray(pc.fill_null(pc.is_in(roles, pa.array(wanted.roles, pa.string())), False))
    chunk = chunk.take(np.flatnonzero(asked))
    table = pa.table(
        {
            REQUEST_ID: chunk.labels.column(REQUEST_ID),
            ROW: chunk.labels.column(ROW),
            LOG_TIMESTAMP: chunk.at,
            MODEL: chunk.labels.column(MODEL),
            MODEL_VERSION: chunk.labels.column(MODEL_VERSION),
            ROLE: chunk.labels.column(ROLE),
            **{name: chunk.inputs.column(name) for name in chunk.inputs.column_names},
        }
    )
    joined = join(table, wanted.outcomes, now=wanted.now, delay=wanted.delay, absent=wanted.absent)
    for at, state in enumerate(LABEL_STATES):
        counts[f"rows {state}"] = counts.get(f"rows {state}", 0) + int((joined.states == at).sum())
    for name, count in joined.counts.items():
        if name in _TOLD and count:
            counts[f"outcomes {name}"] = counts.get(f"outcomes {name}", 0) + count
    predicted = np.asarray(chunk.labels.column(PREDICTION).combine_chunks().is_valid())
    known = np.isfinite(joined.values)
    if lost := int((known & ~predicted).sum()):
        counts["rows without a logged prediction"] = counts.get("rows without a logged prediction", 0) + lost
    kept = np.flatnonzero(known & predicted)
    return chunk.take(kept), _Labelled(joined.values[kept], joined.where("mature")[kept])


def _part(
    rows: LoggedRows, labelled: _Labelled, log: Log, promised: Promised, places: Places, progress: Progress
) -> _Part:
    card = promised.bundle.card
    known_at = card.rule.known_at
    progress(f"recompute {rows.num_rows:,} served rows (known_at = {known_at})")
    source = Source(
        rows.inputs.append_column(INSTANT, rows.at), repo=places.repo, ledger=places.ledger, progress=progress
    )
    # Under the model's own contract where it was served by that (its schedules count), else the log's: what another
    # definition does to the model is measured on the holdout.
    contract = card.contract if card.contract.hash == log.contract.hash else log.contract
    try:
        compared, absent = comparable(contract, log, rows)
        if gone := [name for name in card.inputs if name in absent]:
            return _unread(rows, labelled, f"{gone[0]}: {absent[gone[0]]}")
        case = served_case(log, contract, known_at, compared, rows, source, places.basis)
        findings = examine(case)
    except TrueupError as error:
        return _unread(rows, labelled, str(error).rstrip("."))
    codes = findings.comparison.codes
    mismatches = {name: codes[name] >= Outcome.VALUE for name in card.inputs if name in codes}
    return _Part(
        rows,
        labelled.labels,
        labelled.mature,
        _offline(findings.recomputed, rows.frame, mismatches, card.inputs),
        {name: findings.causes.get(name, np.zeros(rows.num_rows, np.uint64)) for name in mismatches},
        mismatches,
    )


def _unread(rows: LoggedRows, labelled: _Labelled, why: str) -> _Part:
    missing = Missing(f"the served features cannot be recomputed ({why})")
    return _Part(rows, labelled.labels, labelled.mature, missing, {}, {})


def _offline(
    recomputed: FeatureFrame,
    served: FeatureFrame,
    mismatches: Mapping[str, npt.NDArray[np.bool_]],
    inputs: Sequence[str],
) -> FeatureFrame:
    """Recomputed where parity sees a difference, and as served elsewhere: what is within a tolerance, or was being
    materialized, is no skew."""
    columns = {}
    for name in inputs:
        mine = served.values.column(name).combine_chunks()
        mask = mismatches.get(name)
        if mask is None or not mask.any():
            columns[name] = mine
        else:
            theirs = recomputed.values.column(name).combine_chunks().cast(mine.type)
            columns[name] = pc.if_else(pa.array(mask), theirs, mine)
    return FeatureFrame(pa.table(columns), served.statuses.select(list(inputs)), served.event_timestamps)


def _facts(parts: Sequence[_Part], promised: Promised, wanted: Wanted, counts: Mapping[str, int]) -> ServedFacts:
    inputs = list(promised.bundle.card.inputs)
    labels = pa.concat_tables([part.rows.labels for part in parts])
    served = _together([part.rows.frame.select(inputs) for part in parts])
    offline: Known[FeatureFrame] | None = next((p.offline for p in parts if isinstance(p.offline, Missing)), None)
    if offline is None:
        offline = _together([part.offline for part in parts if isinstance(part.offline, FeatureFrame)])
    names = [name for name in inputs if any(name in part.mismatches for part in parts)]
    requests = pa.concat_tables([part.rows.inputs for part in parts], promote_options="permissive")
    return ServedFacts(
        unit=_units(labels),
        labels=np.concatenate([part.labels for part in parts]),
        mature=np.concatenate([part.mature for part in parts]),
        served=served,
        offline=offline,
        predictions=labels.column(PREDICTION).to_numpy().astype(np.float64),
        version=np.array(labels.column(MODEL_VERSION).to_pylist(), dtype=np.object_),
        predict=promised.bundle.predict,
        causes={name: np.concatenate([_of(part.causes, name, part, np.uint64) for part in parts]) for name in names},
        mismatches={
            name: np.concatenate([_of(part.mismatches, name, part, np.bool_) for part in parts]) for name in names
        },
        compared=dict.fromkeys(names, served.num_rows),
        segments=_segments(requests, wanted.segments),
        counts=counts,
    )


def _of(columns: Mapping[str, npt.NDArray[np.generic]], name: str, part: _Part, kind: type) -> npt.NDArray[np.generic]:
    found = columns.get(name)
    return np.zeros(part.rows.num_rows, kind) if found is None else found


def _together(frames: Sequence[FeatureFrame]) -> FeatureFrame:
    return FeatureFrame(
        pa.concat_tables([frame.values for frame in frames]),
        pa.concat_tables([frame.statuses for frame in frames]),
        pa.concat_tables([frame.event_timestamps for frame in frames]),
    )


def _units(labels: pa.Table) -> Texts:
    """The experiment's unit; a row without one is drawn with its request."""
    unit = pc.coalesce(labels.column(UNIT), labels.column(REQUEST_ID))
    return np.array([str(value) for value in unit.to_pylist()], dtype=np.object_)


def _segments(requests: pa.Table, asked: Sequence[str] | None) -> dict[str, Texts]:
    if asked is not None:
        if unknown := [name for name in asked if name not in requests.column_names]:
            raise InputError(
                "segment",
                f"segment: the requests have no column {unknown[0]!r}; they have {', '.join(requests.column_names)}.",
            )
        return {name: texts(requests.column(name)) for name in asked}
    found: dict[str, Texts] = {}
    for name in requests.column_names:
        kind = requests.schema.field(name).type
        if pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            levels = len(pc.unique(requests.column(name)))
            if 2 <= levels <= MOST_LEVELS and len(found) < MOST_COLUMNS:
                found[name] = texts(requests.column(name))
    return found


def _none(model: str, counts: Mapping[str, int], wanted: Wanted) -> str:
    rows = {name: count for name, count in counts.items() if name.startswith("rows ") and count}
    if not rows:
        return f"no row that {model} scored is in the log in that time"
    said = ", ".join(f"{count:,} {name.removeprefix('rows ')}" for name, count in rows.items())
    return f"of {model}'s served rows none has a known outcome {wanted.outcomes.name!r} yet ({said})"
