"""`distribution`: a training set and a window of the same process; the change is of one feature, in every row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from tests.conformance.example import Example, frame

from trueup.parity.checks.distribution import CHECK, Sample, Samples, check_distribution

ROWS = 400
RANDOM = np.random.default_rng(11)
REFERENCE = RANDOM.normal(0, 1, 2000), RANDOM.normal(5, 2, 2000)
CURRENT = RANDOM.normal(0, 1, ROWS), RANDOM.normal(5, 2, ROWS)


def make(order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> Samples:
    """unusable: features that only the training set has."""
    rows = list(order)
    gone = {f"v__gone{number}": pa.array(REFERENCE[0]) for number in range(unusable)}
    reference = {"v__x": pa.array(REFERENCE[0]), "v__y": pa.array(REFERENCE[1]), **gone}
    current = {
        "v__x": pa.array(CURRENT[0][rows]),
        "v__y": pa.array(CURRENT[1][rows] + (3 if changed is not None else 0)),
    }
    return Samples(
        subject="model",
        version="1",
        reference=Sample("training set", frame(reference)),
        current=Sample("served", frame(current)),
    )


EXAMPLE = Example(CHECK, make, check_distribution, rows=ROWS)
