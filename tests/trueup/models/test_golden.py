"""Golden predictions: rows of every kind and the model's answers come back to the last bit, in one same file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trueup.models.examples import card
from tests.trueup.models.tracking.stores import ESTIMATOR, ROWS

from trueup.errors import ModelError
from trueup.models.bundle import Bundle
from trueup.models.golden import golden_bytes, read_golden

BUNDLE = Bundle(card(), ESTIMATOR)


def test_rows_and_predictions_come_back_to_the_last_bit() -> None:
    golden = read_golden(golden_bytes(BUNDLE, ROWS, seed=1, most_rows=ROWS.num_rows))
    assert golden.predictions.tobytes() == BUNDLE.predict(ROWS).tobytes()
    assert golden.features.values.equals(ROWS.values)
    assert golden.features.statuses.equals(ROWS.statuses)
    assert BUNDLE.predict(golden.features).tobytes() == golden.predictions.tobytes()


def test_a_sample_is_the_same_bytes_each_time_and_keeps_the_order() -> None:
    one, two = (golden_bytes(BUNDLE, ROWS, seed=1, most_rows=20) for _ in range(2))
    assert one == two
    assert one != golden_bytes(BUNDLE, ROWS, seed=2, most_rows=20)
    kept = read_golden(one)
    assert len(kept.predictions) == kept.features.num_rows == 20
    everything = BUNDLE.predict(ROWS).tolist()
    places = iter(everything)
    assert all(prediction in places for prediction in kept.predictions.tolist())


def test_what_is_no_golden_file_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"golden\.parquet cannot be read"):
        read_golden(b"not parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"v__f": np.arange(3.0)}), sink)
    with pytest.raises(ModelError, match=r"golden\.parquet cannot be read"):
        read_golden(sink.getvalue().to_pybytes())
