"""The record that `trueup reproduce` keeps, as facts. It is read as a stranger's: what does not add up is no record."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from scipy.special import stdtrit

from trueup.gate.facts import ReproductionFacts

SCHEMA = "trueup.reproduction/1"
_LEARNED = {"fitted state", "predictions", "metrics"}
SEEDS = 10
"""Fewer have no band: with two, Student's t makes it a dozen standard deviations, and every model passes."""


def reproduction_facts(record: Mapping[str, Any], run: str, snapshot: str | None) -> ReproductionFacts:
    """run, snapshot: what it must be of. Raises KeyError, TypeError or ValueError for a record that is not whole."""
    if record["schema"] != SCHEMA:
        raise ValueError(f"schema {record['schema']!r} is not {SCHEMA!r}")
    lines = {line["thing"]: line for line in record["comparison"]["lines"]}
    if record["verdict"] != record["comparison"]["verdict"] or not lines.keys() >= _LEARNED:
        raise ValueError("its comparison does not say what its verdict says")
    if (record["run_id"], record["snapshot"]) != (run, snapshot):
        raise ValueError("it is of another run or snapshot")
    files = dict(record["model_files"])
    if record["estimator"] not in files.values():
        raise ValueError("the model was exchanged while it was reproduced")
    band, seeds = _band((record.get("seeds") or {}).get("auc"))
    kept = lines.get("kept model", {"verdict": "not compared", "detail": "an older trueup did not look at it"})
    return ReproductionFacts(
        verdict=str(record["verdict"]),
        culprits=tuple(record["culprits"]),
        files=files,
        at=str(record["at"]),
        kept=(str(kept["verdict"]), str(kept["detail"])),
        seed_band=band,
        seeds=seeds,
    )


def _band(auc: Mapping[str, Any] | None) -> tuple[float | None, int]:
    """t·s·√2 with the 0.95 quantile of Student's t: how much lower one of two trainings is, by its seed alone."""
    values = [] if auc is None else [float(value) for value in auc["values"].values()]
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("an AUC of its seeds is not between 0 and 1")
    if len(values) < SEEDS:
        return None, len(values)
    return float(stdtrit(len(values) - 1, 0.95)) * statistics.stdev(values) * math.sqrt(2), len(values)
