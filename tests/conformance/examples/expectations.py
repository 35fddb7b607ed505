"""`expectations`: a long training set, so that one value against it tells; Great Expectations itself runs the suite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from tests.conformance.example import Example, frame

from trueup.contracts.contract import FeatureContract, Field, JoinKey, Source, View
from trueup.parity.checks.expectations import CHECK, ServedWindow, check_expectations
from trueup.parity.evidence.expectations import Validator
from trueup.parity.suite import suite

SOURCE = Source("FileSource", "at", None, None, {"source": "v.parquet"}, {})
CONTRACT = FeatureContract(
    "p",
    "s",
    (("v", "x"), ("v", "kind")),
    (View("v", "v", (JoinKey("k", "Int64", "k"),), (Field("x", "Float64"), Field("kind", "String")), None, SOURCE),),
)
TRAINED_ON = frame(
    {
        "v__x": pa.array(np.resize(np.linspace(0, 100, 101), 200_000)),
        "v__kind": pa.array(np.resize(np.array(["a", "b", "c"], np.object_), 200_000), pa.string()),
    }
)
SUITE = suite(CONTRACT, TRAINED_ON, model="model")


def make(order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> ServedWindow:
    """unusable: rows that the evidence left out, with their reason."""
    return ServedWindow(
        model="model",
        version="1",
        service="s",
        contract=CONTRACT.hash,
        suite=SUITE,
        values=pa.table(
            {
                "v__x": pa.array([1e6 if row == changed else float(row) for row in order], pa.float64()),
                "v__kind": pa.array(["abc"[row % 3] for row in order], pa.string()),
            }
        ),
        validate=Validator(datetime(2013, 11, 1, tzinfo=UTC)),
        uncompared={"no instant": unusable} if unusable else {},
    )


EXAMPLE = Example(CHECK, make, check_expectations)
