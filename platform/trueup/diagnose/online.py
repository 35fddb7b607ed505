"""The four states of served rows: offline features, features as served, predictions as served, matured. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trueup.diagnose.answers import by_reasons
from trueup.diagnose.drawn import DrawnSplit
from trueup.diagnose.enough import too_few
from trueup.diagnose.facts import Facts, Known, Missing, ServedFacts
from trueup.diagnose.metrics import Floats, MetricKind
from trueup.diagnose.samples import Draws, Sample, Scored, measure
from trueup.diagnose.skew import Progress, Skew, skew
from trueup.errors import InputError


@dataclass(frozen=True)
class Online:
    """population, features, served, matured: draws of the states. rows: of each, in this order. facts: the rows with a
    known outcome; sample: what they are drawn by; base: predictions on their offline features; None where there are no
    such rows, or nothing was recomputed. skew, reasons: how two of the steps split."""

    population: Known[Draws]
    features: Known[Draws]
    served: Known[Draws]
    matured: Known[Draws]
    rows: tuple[int, int]
    facts: ServedFacts | None = None
    sample: Sample | None = None
    base: Floats | None = None
    skew: Skew | None = None
    reasons: DrawnSplit | None = None


def online(
    facts: Facts,
    kind: MetricKind,
    outcome: str,
    *,
    replicates: int,
    feature_replicates: int,
    seed: int,
    progress: Progress,
) -> Online:
    """Measured on the rows whose outcome is known so far; the last state on those of them that are mature.

    Raises InputError for an outcome that is neither 0 nor 1.
    """
    served = facts.served
    if isinstance(served, Missing):
        return Online(served, served, served, served, (0, 0))
    known = np.isfinite(served.labels) & np.isfinite(served.predictions)
    _check(served.labels[known], outcome)
    rows = served.where(known)
    if why := too_few(kind, rows.labels, f"{facts.model} was served"):
        few = Missing(why)
        return Online(few, few, few, few, (rows.num_rows, int(rows.mature.sum())))
    names, number = np.unique(rows.unit.astype(str), return_inverse=True)
    sample = Sample(number.astype(np.int64), len(names), (seed, 1))
    found: Skew | None = None
    if isinstance(rows.offline, Missing):
        progress("predict the features as served")
        again = rows.predict(rows.served)
    else:
        found = skew(
            kind,
            rows,
            facts.inputs,
            sample,
            replicates=replicates,
            feature_replicates=feature_replicates,
            progress=progress,
        )
        again = found.served
    everyone = np.arange(rows.num_rows, dtype=np.int64)
    mature = np.flatnonzero(rows.mature).astype(np.int64)
    late = too_few(kind, rows.labels[mature], f"of the outcomes of {facts.model} the label delay is over for")
    scored = [
        Scored(everyone, rows.labels, found.population if found is not None else again),
        Scored(everyone, rows.labels, again),
        Scored(everyone, rows.labels, rows.predictions),
        *([] if late else [Scored(mature, rows.labels[mature], rows.predictions[mature])]),
    ]
    progress("draw the served rows again")
    draws = measure(kind, sample, scored, replicates)
    return Online(
        population=rows.offline if isinstance(rows.offline, Missing) else draws[0],
        features=draws[1],
        served=draws[2],
        matured=Missing(late) if late else draws[3],
        rows=(rows.num_rows, len(mature)),
        facts=rows,
        sample=sample,
        base=found.population if found is not None else None,
        skew=found,
        reasons=by_reasons(
            kind, rows, again, facts.version, sample, same_fit=facts.holdout.same_fit, replicates=replicates
        ),
    )


def _check(labels: Floats, outcome: str) -> None:
    wrong = labels[(labels != 0) & (labels != 1)]
    if len(wrong):
        raise InputError(
            "outcome",
            f"outcome {outcome}: {len(wrong):,} of {len(labels):,} values are neither 0 nor 1, such as {wrong[0]:g}; "
            "a model that predicts a probability is judged by whether the thing happened.",
            hint="Import the label the model was trained for, or name another one with --outcome.",
        )
