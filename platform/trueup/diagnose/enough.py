"""How many rows a metric needs before it is a number to speak of. Pure."""

from __future__ import annotations

import numpy as np

from trueup.diagnose.metrics import Floats, MetricKind
from trueup.wording import counted

FEWEST_ROWS = 30
FEWEST_OF_A_CLASS = 5
"""With fewer, a bootstrap mostly draws the same few rows again, and its intervals are too narrow."""


def too_few(kind: MetricKind, labels: Floats, what: str) -> str | None:
    """Why these rows are too few, or None. labels: 0 and 1. what: begins the sentence, `the holdout has`."""
    positive = int(np.sum(labels == 1))
    negative = len(labels) - positive
    if not len(labels):
        return f"{what} no rows with a known outcome"
    if len(labels) < FEWEST_ROWS:
        return f"{what} only {counted(len(labels), 'row')} with a known outcome; it takes {FEWEST_ROWS}"
    if kind.of_rows is None and min(positive, negative) == 0:
        only = int(positive > 0)
        return f"{what} one class only: all {len(labels):,} outcomes are {only}, so {kind.title} is not defined"
    if kind.of_rows is None and min(positive, negative) < FEWEST_OF_A_CLASS:
        return (
            f"{what} only {positive:,} positive and {negative:,} negative outcomes; {kind.title} takes "
            f"{FEWEST_OF_A_CLASS} of each"
        )
    return None
