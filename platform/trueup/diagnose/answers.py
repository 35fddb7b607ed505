"""From predictions on the features as served to the predictions that were served, reason by reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trueup.diagnose.drawn import DrawnSplit, DrawnTerm
from trueup.diagnose.facts import Mask, ServedFacts
from trueup.diagnose.games import Coalition, shapley
from trueup.diagnose.metrics import Floats, MetricKind
from trueup.diagnose.samples import Draws, Sample, Scored, measure
from trueup.diagnose.six import SixCause

OTHER_NUMBERS = "other numbers from the same version"


def by_reasons(
    kind: MetricKind,
    facts: ServedFacts,
    again: Floats,
    version: str,
    sample: Sample,
    *,
    same_fit: bool | None,
    replicates: int,
) -> DrawnSplit | None:
    """Which rows another version answered, and which the same version with other numbers. None: every one is the same.

    again: what `version` predicts of the features as served, here. same_fit: see `HoldoutFacts`: where the model in the
    store is another than was recorded, what the server loaded is not known, so other numbers have no cause.
    """
    differ = again != facts.predictions
    masks: dict[str, Mask] = {}
    causes: dict[str, SixCause | None] = {}
    for other in sorted(set(facts.version[differ].tolist())):
        mask = differ & (facts.version == other)
        name = OTHER_NUMBERS if other == version else f"version {other}"
        masks[name] = mask
        causes[name] = "serving" if other != version else None if same_fit is False else "environment"
    if not masks:
        return None
    names = tuple(masks)

    def worth(sets: Sequence[Coalition]) -> list[Draws]:
        scored = [_scored(facts, again, [masks[names[player]] for player in one]) for one in sets]
        return measure(kind, sample, scored, replicates)

    values = shapley(len(names), worth)
    return DrawnSplit(
        "reason",
        tuple(
            DrawnTerm(name, draws, causes[name], cells=int(masks[name].sum()), of=facts.num_rows)
            for name, draws in zip(names, values, strict=True)
        ),
        counts=True,
    )


def _scored(facts: ServedFacts, again: Floats, as_served: Sequence[Mask]) -> Scored:
    predictions = again.copy()
    for mask in as_served:
        predictions[mask] = facts.predictions[mask]
    return Scored(np.arange(facts.num_rows, dtype=np.int64), facts.labels, predictions)
