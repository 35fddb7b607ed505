"""Check `replay`: the logged features through the registered model give the logged predictions, bit for bit.

A prediction that does not come out again was not made by this model, of these features, in this environment; so the
served check's verdict on the features says nothing about what was answered. Beside it stands what the model would have
said of the features training reads for the same rows: what a difference of features did to the answers.

Rows are predicted in batches. `Bundle.predict` looks at one row at a time, so that neither the batch nor the number of
threads (OMP_NUM_THREADS and the like) changes a bit of it; tests hold it to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.errors import ModelError, TrueupError
from trueup.frame import FeatureFrame
from trueup.parity.compare import Mask, Outcome, compare
from trueup.parity.pairs import Pairs, findings_of, frame_of_columns, tally_pairs
from trueup.parity.results import Result, RoleResult
from trueup.parity.tally import Labels, Tally, roles

CHECK: Literal["replay"] = "replay"
PREDICTION = "prediction"
"""The one feature of the result."""
NO_PREDICTION = "no prediction logged"
THRESHOLD = 0.5
"""Probability from which a caller acts, where nobody says otherwise."""

_UNIT = 2**40

Floats = npt.NDArray[np.float64]
Predict = Callable[[FeatureFrame], Floats]
"""P(label) of each row: `Bundle.predict`."""


@dataclass(frozen=True)
class Scored:
    """Some rows as they were logged.

    features: as served. predictions: float64, as logged; null where none was. keys: the entity and request columns.
    offline: the features training reads for these rows, or why they cannot be read; None when nobody asked.
    """

    features: FeatureFrame
    predictions: pa.Array
    keys: pa.Table
    labels: Labels
    offline: FeatureFrame | str | None = None


@dataclass(frozen=True)
class ReplayedModel:
    """What one model version said, and the model itself.

    rows: in the log. batches: those to replay, read one at a time. others: version -> how to load another version of
    the model, tried in this order on predictions that this one does not give. known_at, service, contract: of the
    model. uncompared: reason -> rows that are in no batch. notes: what else is known of the evidence.
    """

    model: str
    version: str
    known_at: str
    service: str
    contract: str
    rows: int
    predict: Predict
    batches: Iterable[Scored]
    others: Mapping[str, Callable[[], Predict]] = field(default_factory=dict)
    threshold: float = THRESHOLD
    uncompared: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moves:
    """Predictions on offline features against those on the features as served. rows: with offline features.

    total: of the absolute moves, in units of 2**-40: whole numbers add up to the same in any order.
    """

    rows: int = 0
    moved: int = 0
    crossed: int = 0
    total: int = 0
    largest: float = 0.0

    def __add__(self, other: Moves) -> Moves:
        return Moves(
            self.rows + other.rows,
            self.moved + other.moved,
            self.crossed + other.crossed,
            self.total + other.total,
            max(self.largest, other.largest),
        )


def check_replay(replayed: ReplayedModel) -> Result:
    """Every logged prediction, of answers and shadows. Raises TrueupError when the model cannot predict these rows."""
    total, moves, other_versions = Tally(), Moves(), dict.fromkeys(replayed.others, 0)
    by_role: dict[str, RoleResult] = {}
    not_logged, offline_problem = 0, None
    for batch in replayed.batches:
        logged = np.flatnonzero(np.asarray(batch.predictions.is_valid()))
        not_logged += len(batch.predictions) - len(logged)
        part = _rows(batch, logged)
        again = predicted(replayed, replayed.predict, part.features)
        pairs = _pairs(part, again)
        total += tally_pairs(pairs)
        findings = findings_of(pairs)
        for role, found in roles(findings, part.labels).items():
            by_role[role] = by_role[role] + found if role in by_role else found
        mismatched = np.flatnonzero(findings.comparison.codes[PREDICTION] >= Outcome.VALUE)
        if len(mismatched):
            _count_other_versions(replayed, _rows(part, mismatched), other_versions)
        if isinstance(part.offline, str):
            offline_problem = offline_problem or part.offline
        elif part.offline is not None:
            moves += _moves(predicted(replayed, replayed.predict, part.offline), again, replayed.threshold)
    return Result(
        check=CHECK,
        subject=replayed.model,
        version=replayed.version,
        known_at=replayed.known_at,
        service=replayed.service,
        contract=replayed.contract,
        rows=total.rows,
        features=total.features,
        uncompared={**replayed.uncompared, **({NO_PREDICTION: not_logged} if not_logged else {})},
        roles=dict(sorted(by_role.items())),
        samples=total.samples,
        notes={
            **replayed.notes,
            **_version_notes(replayed, other_versions),
            **_move_notes(moves, replayed.threshold, offline_problem),
        },
    )


def predicted(replayed: ReplayedModel, predict: Predict, features: FeatureFrame) -> Floats:
    """Predictions, one a row. Raises ModelError when the estimator fails, or gives something else."""
    name = f"model {replayed.model}@{replayed.version}"
    try:
        found = predict(features)
    except TrueupError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name}: its estimator fails on the logged features: {type(error).__name__}: {error}.",
            hint="Was it saved by other versions of its libraries? Compare the environments of training and of now.",
        ) from error
    if found.shape != (features.num_rows,):
        raise ModelError(f"{name}: it gave predictions of shape {found.shape} for {features.num_rows} rows.")
    return found


def _rows(batch: Scored, rows: npt.NDArray[np.int64]) -> Scored:
    positions = pa.array(rows, pa.int64())

    def of(frame: FeatureFrame) -> FeatureFrame:
        return FeatureFrame(
            frame.values.take(positions), frame.statuses.take(positions), frame.event_timestamps.take(positions)
        )

    return Scored(
        of(batch.features),
        batch.predictions.take(positions),
        batch.keys.take(positions),
        batch.labels.subset(rows),
        of(batch.offline) if isinstance(batch.offline, FeatureFrame) else batch.offline,
    )


def _pairs(batch: Scored, again: Floats) -> Pairs:
    return Pairs(
        first=frame_of_columns({PREDICTION: batch.predictions}),
        second=frame_of_columns({PREDICTION: pa.array(again)}),
        keys=batch.keys,
        labels=batch.labels,
        dtypes={PREDICTION: "Float64"},
    )


def _count_other_versions(replayed: ReplayedModel, rows: Scored, found: dict[str, int]) -> None:
    """Each row counts for the first other version that gives its logged prediction. A version that cannot be loaded,
    or cannot predict these features, did not give them."""
    open_ = np.ones(len(rows.predictions), np.bool_)
    for version, load in replayed.others.items():
        if not open_.any():
            return
        try:
            again = predicted(replayed, load(), rows.features)
        except TrueupError:
            continue
        codes = compare(
            frame_of_columns({PREDICTION: rows.predictions}), frame_of_columns({PREDICTION: pa.array(again)}), views={}
        ).codes[PREDICTION]
        same: Mask = open_ & (codes < Outcome.VALUE)
        found[version] += int(same.sum())
        open_ &= ~same


def _moves(offline: Floats, served: Floats, threshold: float) -> Moves:
    distance = np.nan_to_num(np.abs(offline - served))
    return Moves(
        rows=len(served),
        moved=int((~((offline == served) | (np.isnan(offline) & np.isnan(served)))).sum()),
        crossed=int(((offline >= threshold) != (served >= threshold)).sum()),
        total=int(np.rint(distance * _UNIT).astype(np.int64).sum()),
        largest=float(distance.max(initial=0.0)),
    )


def _version_notes(replayed: ReplayedModel, found: Mapping[str, int]) -> dict[str, str]:
    return {
        f"reproduced by version {version}": f"{rows:,} predictions logged as version {replayed.version}'s are, bit for "
        f"bit, those of version {version}"
        for version, rows in found.items()
        if rows
    }


def _move_notes(moves: Moves, threshold: float, problem: str | None) -> dict[str, str]:
    unread = {} if problem is None else {"offline features not read": problem}
    if not moves.rows:
        return unread
    return {
        **unread,
        "on offline features": f"{moves.moved:,} of {moves.rows:,} predictions move",
        "mean move": f"{moves.total / _UNIT / moves.rows:.6f}",
        "largest move": f"{moves.largest:.6f}",
        f"cross {threshold:g}": f"{moves.crossed:,} of {moves.rows:,} predictions",
    }
