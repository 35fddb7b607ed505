"""Small ledgers' facts: a logistic model of two features, served well or badly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from trueup.diagnose.build import Asked, build_ledger
from trueup.diagnose.facts import Facts, HoldoutFacts, Predicted, ServedFacts
from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.metrics import METRICS
from trueup.frame import EVENT_TIME, FeatureFrame
from trueup.parity.causes import BIT

A, B = "v__a", "v__b"
AT = datetime(2013, 12, 1, tzinfo=UTC)


def frame(a: Any, b: Any) -> FeatureFrame:
    statuses = pa.table({name: pa.array(np.ones(len(a), np.int8)) for name in (A, B)})
    return FeatureFrame(pa.table({A: a, B: b}), statuses, pa.table({"v": pa.nulls(len(a), EVENT_TIME)}))


def predict(features: FeatureFrame) -> Any:
    score = features.values.column(A).to_numpy() + 0.5 * features.values.column(B).to_numpy()
    return 1 / (1 + np.exp(-score))


def population(rows: int, seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    labels = (rng.random(rows) < predict(frame(a, b))).astype(np.float64)
    return a, b, labels


def holdout(rows: int = 400, seed: int = 1) -> HoldoutFacts:
    """A promise that holds."""
    a, b, labels = population(rows, seed)
    ids = np.array([f"h{number}" for number in range(rows)], dtype=np.object_)
    kept = Predicted(ids, labels, predict(frame(a, b)))
    from tests.oracles.scored import metric

    logged = {name: metric(name, labels, kept.predictions, np.ones(rows)) for name in METRICS}
    return HoldoutFacts(
        logged, kept, kept, kept, same_fit=True, segments={"side": np.where(a > 0, "left", "right").astype(object)}
    )


def served(rows: int = 500, seed: int = 2) -> ServedFacts:
    """Served as training would read it."""
    a, b, labels = population(rows, seed)
    features = frame(a, b)
    return ServedFacts(
        unit=np.array([f"u{number}" for number in range(rows)], dtype=np.object_),
        labels=labels,
        mature=np.ones(rows, np.bool_),
        served=features,
        offline=features,
        predictions=predict(features),
        version=np.array(["1"] * rows, dtype=np.object_),
        predict=predict,
        segments={"side": np.where(a > 0, "left", "right").astype(object)},
    )


def skewed(facts: ServedFacts, *, a: str = "late_arrival", share: float = 0.6, seed: int = 3) -> ServedFacts:
    """Feature `a` of a share of the rows is served as noise, by cause `a`."""
    rng = np.random.default_rng(seed)
    mask = rng.random(facts.num_rows) < share
    offline = facts.served
    noise = np.where(mask, rng.normal(size=facts.num_rows), offline.values.column(A).to_numpy())
    now = frame(noise, offline.values.column(B).to_numpy())
    bits = np.where(mask, BIT[a], np.uint64(0))
    return replace(
        facts,
        served=now,
        offline=offline,
        predictions=predict(now),
        causes={A: bits},
        mismatches={A: mask},
        compared={A: facts.num_rows},
    )


def facts(promise: Any = None, rows: Any = None) -> Facts:
    return Facts("m", "1", (A, B), "served", promise or holdout(), rows if rows is not None else served())


def ledger(given: Facts, metric: str = "auc", replicates: int = 200, **asked: Any) -> GapLedger:
    return build_ledger(given, Asked(METRICS[metric], "late", AT, replicates=replicates, split_replicates=50, **asked))
