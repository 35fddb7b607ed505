"""Laws of `Bundle`: a row's prediction depends on the row alone, to the last bit."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trueup.models.examples import CITIES, CONTRACT, PINNED, bundle, card, frame, many_rows
from threadpoolctl import threadpool_limits

from trueup.contracts.contract import FeatureContract, Field
from trueup.errors import ContractError, ModelError
from trueup.frame import FeatureFrame
from trueup.models.bundle import Bundle, check_inputs, matrix

BUNDLE = bundle()
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "city": st.sampled_from([*CITIES, "Atlantis", "nan", "None"]),
    "orders": st.integers(-(2**63), 2**63 - 1),
    "spent": st.floats(allow_nan=True, allow_infinity=True),
    "member": st.booleans(),
    "since": st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    "score": st.floats(width=32),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), min_size=1, max_size=12
)


@given(rows=ROWS, random=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_a_row_alone_in_a_batch_and_in_any_order_gives_the_same_bits(rows: list[dict[str, Any]], random: Any) -> None:
    together = BUNDLE.predict(frame(rows))
    alone = np.concatenate([BUNDLE.predict(frame([row])) for row in rows])
    assert together.tobytes() == alone.tobytes()
    order = random.sample(range(len(rows)), len(rows))
    assert BUNDLE.predict(frame([rows[i] for i in order])).tobytes() == together[order].tobytes()


def test_a_large_batch_gives_the_same_bits_as_its_slices() -> None:
    whole = frame(many_rows(1000, seed=3))
    slices = [BUNDLE.predict(whole.slice(start, 7)) for start in range(0, 1000, 7)]
    assert BUNDLE.predict(whole).tobytes() == np.concatenate(slices).tobytes()


def test_the_number_of_threads_does_not_change_the_bits() -> None:
    rows = frame(many_rows(500, seed=4))
    given_by = {}
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            given_by[threads] = BUNDLE.predict(rows).tobytes()
    assert len(set(given_by.values())) == 1


def test_chunks_do_not_change_the_bits() -> None:
    whole = frame(many_rows(50))
    parts = [whole.slice(0, 20), whole.slice(20, 30)]
    chunked = FeatureFrame(
        pa.concat_tables([part.values for part in parts]),
        pa.concat_tables([part.statuses for part in parts]),
        whole.event_timestamps,
    )
    assert chunked.values.column(0).num_chunks == 2
    assert BUNDLE.predict(chunked).tobytes() == BUNDLE.predict(whole).tobytes()


@given(rows=ROWS)
@settings(max_examples=60)
def test_the_types_of_a_matrix_do_not_depend_on_its_values(rows: list[dict[str, Any]]) -> None:
    types = {name: dtype.name for name, dtype in matrix(frame(rows), CONTRACT.columns).dtypes.items()}
    assert types == {name: "object" if name == "buyer__city" else "float64" for name in CONTRACT.columns}


def test_a_matrix_holds_numbers_as_they_are_instants_in_seconds_and_null_as_nan() -> None:
    given_row = {"city": "Oslo", "orders": 2**53, "spent": -0.5, "member": True, "since": PINNED, "score": 0.25}
    table = matrix(frame([given_row, {}]), CONTRACT.columns)
    assert list(table.columns) == list(CONTRACT.columns)
    assert table.iloc[0].tolist() == ["Oslo", 2.0**53, -0.5, 1.0, PINNED.timestamp(), 0.25]
    assert table.iloc[1].isna().all()


def test_a_null_string_and_one_never_seen_in_training_are_both_missing() -> None:
    row = many_rows(1)[0]
    unseen, null = BUNDLE.predict(frame([{**row, "city": "Atlantis"}, {**row, "city": None}]))
    assert unseen == null


def test_no_rows_give_no_predictions() -> None:
    predictions = BUNDLE.predict(frame([]))
    assert predictions.shape == (0,)
    assert predictions.dtype == np.float64


def test_predictions_are_float64_probabilities_of_the_positive_class() -> None:
    rows = many_rows(100)
    predictions = BUNDLE.predict(frame(rows))
    assert predictions.dtype == np.float64
    assert predictions.flags.c_contiguous
    both = BUNDLE.estimator.predict_proba(matrix(frame(rows), CONTRACT.columns))
    assert np.array_equal(predictions, both[:, 1])


def test_columns_are_taken_by_name_whatever_their_order_in_the_frame() -> None:
    rows = frame(many_rows(20))
    assert np.array_equal(BUNDLE.predict(rows.select(CONTRACT.columns[::-1])), BUNDLE.predict(rows))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ContractError, match="needs buyer__orders, buyer__score, which"):
        BUNDLE.predict(frame(many_rows(2)).select(["buyer__city", "buyer__spent", "buyer__member", "buyer__since"]))


def test_a_type_that_no_model_eats_is_named() -> None:
    lists = pa.table({"v__tags": pa.array([["a"]])})
    with pytest.raises(ContractError, match=r"v__tags is list<.*a model eats numbers, booleans, strings and instants"):
        matrix(FeatureFrame(lists, lists, pa.table({})), ["v__tags"])


def test_a_model_of_other_classes_is_refused() -> None:
    class Three:
        classes_ = np.array([0, 1, 2])

        def predict_proba(self, X: Any, /) -> Any:  # noqa: N803
            raise NotImplementedError

    with pytest.raises(ModelError, match=r"model buyers: its classes are \[0, 1, 2\]; a bundle needs exactly 0 and 1"):
        Bundle(card(), Three())


@pytest.mark.parametrize("dtype", ["Map", "Struct({a: Int64})", "Array(Map)", "Decimal", "Set(Decimal)"])
def test_a_feature_that_is_text_only_in_a_frame_is_refused_before_training(dtype: str) -> None:
    view = replace(CONTRACT.views[0], features=(Field("f", dtype),))
    contract = FeatureContract("p", "s", ((view.name, "f"),), (view,))
    check_inputs(CONTRACT)
    with pytest.raises(ContractError, match=rf"{view.name}__f is {re.escape(dtype)}; a model eats numbers"):
        check_inputs(contract)
