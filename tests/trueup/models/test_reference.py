"""The reference kept with a model: the same rows, states and times again; a sample is deterministic and in order."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from trueup.errors import ModelError
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame
from trueup.models.reference import read_reference, reference_bytes


def _frame(rows: int) -> FeatureFrame:
    values = pa.array([None if i % 7 == 3 else float("nan") if i % 7 == 4 else float(i) for i in range(rows)])
    states = pa.array([2 if i % 7 == 3 else 1 for i in range(rows)], STATUS)
    times = pa.array([datetime(2013, 1, 1, 0, 0, 0, i, tzinfo=UTC) for i in range(rows)], EVENT_TIME)
    return FeatureFrame(pa.table({"v__f": values}), pa.table({"v__f": states}), pa.table({"v": times}))


def test_all_rows_come_back_when_they_fit() -> None:
    frame = _frame(50)
    read, rows = read_reference(reference_bytes(frame, seed=1))
    assert rows == 50
    assert read.statuses.equals(frame.statuses)
    assert read.event_timestamps.equals(frame.event_timestamps)
    np.testing.assert_array_equal(read.values["v__f"].to_numpy(), frame.values["v__f"].to_numpy())
    assert read.values["v__f"].null_count == frame.values["v__f"].null_count


def test_a_sample_keeps_the_order_and_says_of_how_many() -> None:
    read, rows = read_reference(reference_bytes(_frame(500), seed=1, most_rows=100))
    times = read.event_timestamps["v"].to_pylist()
    assert (rows, read.num_rows) == (500, 100)
    assert times == sorted(times)
    assert len(set(times)) == 100


def test_the_same_rows_and_seed_give_the_same_bytes_and_another_seed_another_sample() -> None:
    one, two = (reference_bytes(_frame(500), seed=1, most_rows=100) for _ in range(2))
    assert one == two
    assert one != reference_bytes(_frame(500), seed=2, most_rows=100)


def test_what_is_no_parquet_file_is_an_error() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_reference(b"not parquet")
