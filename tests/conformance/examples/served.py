"""`served`: one model's rows, and the same from the source."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from tests.conformance.example import Example
from tests.conformance.examples.recomputed import case_of, instants, keyed, served

from trueup.parity.checks.served import CHECK, ServedModel, check_served
from trueup.parity.tally import Labels


def make(order: Sequence[int], *, changed: int | None = None, unusable: int = 0) -> ServedModel:
    """unusable: rows that the evidence left out, with their reason. Rows are an hour apart, two roles in turn."""
    labels = Labels(
        instants(order),
        pa.array([f"r{row}" for row in order], pa.string()),
        pa.array(order, pa.int32()),
        pa.array(["answer" if row % 2 else "shadow" for row in order], pa.string()),
    )
    return ServedModel(
        "model",
        "1",
        case_of(keyed(order), served(order, changed=changed)),
        labels,
        {"no instant": unusable} if unusable else {},
    )


EXAMPLE = Example(CHECK, make, lambda served: check_served([served]))
