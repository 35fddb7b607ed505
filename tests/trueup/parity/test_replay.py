"""Laws of replay: the same bits come out again, and what does not is counted, whatever the batches and threads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trueup.models.examples import CONTRACT, PINNED, bundle, card, fitted, frame, many_rows
from threadpoolctl import threadpool_limits

from trueup.errors import ContractError, ModelError
from trueup.frame import FeatureFrame
from trueup.models.bundle import Bundle
from trueup.parity.checks.replay import NO_PREDICTION, Floats, Predict, ReplayedModel, Scored, check_replay
from trueup.parity.evidence.recompute import micros
from trueup.parity.results import Result
from trueup.parity.tally import Labels

BUNDLE = bundle()
OTHER = Bundle(card(), fitted(many_rows(600, seed=9), seed=8))
ROWS = many_rows(200, seed=5)
FRAME = frame(ROWS)
LOGGED = BUNDLE.predict(FRAME)


def scored(
    features: FeatureFrame = FRAME, predictions: Any = LOGGED, offline: FeatureFrame | str | None = None
) -> Scored:
    count = features.num_rows
    return Scored(
        features=features,
        predictions=pa.array(predictions, pa.float64()),
        keys=pa.table({"buyer_id": pa.array(range(count), pa.int64())}),
        labels=Labels(
            np.full(count, micros(PINNED)),
            pa.array([f"r{row}" for row in range(count)]),
            pa.array(range(count), pa.int32()),
            pa.array(["answer" if row % 4 else "shadow" for row in range(count)]),
        ),
        offline=offline,
    )


def model(*batches: Scored, predict: Predict = BUNDLE.predict, **options: Any) -> ReplayedModel:
    return ReplayedModel(
        **{
            "model": "buyers",
            "version": "2",
            "known_at": "served",
            "service": CONTRACT.service,
            "contract": CONTRACT.hash,
            "rows": sum(len(batch.predictions) for batch in batches),
            "predict": predict,
            "batches": batches,
            **options,
        }
    )


def check(*batches: Scored, **options: Any) -> Result:
    return check_replay(model(*batches, **options))


def changed(*rows: int) -> Floats:
    """Logged predictions, some of them one float further on."""
    found = LOGGED.copy()
    for row in rows:
        found[row] = np.nextafter(found[row], 2)
    return found


def test_predictions_that_come_out_again_pass() -> None:
    result = check(scored())
    assert (result.verdict, result.rows, result.compared, result.mismatched) == ("pass", 200, 200, 0)
    assert list(result.features) == ["prediction"]
    assert result.features["prediction"].dtype == "Float64"


def test_one_bit_is_a_mismatch_and_it_is_shown_with_both_values() -> None:
    result = check(scored(predictions=changed(7)))
    assert (result.verdict, result.mismatched, result.unexplained) == ("fail", 1, 1)
    (sample,) = result.samples
    assert (sample.request, sample.row, sample.role, sample.keys) == ("r7", 7, "answer", {"buyer_id": "7"})
    assert (sample.served.value, sample.recomputed.value) == (repr(float(changed(7)[7])), repr(float(LOGGED[7])))


def test_answers_and_shadows_are_counted_apart() -> None:
    roles = check(scored(predictions=changed(0, 1))).roles
    assert {name: (part.rows, part.mismatched) for name, part in roles.items()} == {
        "answer": (150, 1),
        "shadow": (50, 1),
    }


@given(cuts=st.lists(st.integers(0, 200), max_size=6), wrong=st.sets(st.integers(0, 199), max_size=8))
@settings(max_examples=25)
def test_batches_give_what_the_whole_gives(cuts: list[int], wrong: set[int]) -> None:
    def parts(whole: Scored) -> list[Scored]:
        edges = [0, *sorted(cuts), 200]
        return [
            Scored(
                whole.features.slice(low, high - low),
                whole.predictions.slice(low, high - low),
                whole.keys.slice(low, high - low),
                whole.labels.subset(np.arange(low, high)),
                whole.offline.slice(low, high - low) if isinstance(whole.offline, FeatureFrame) else None,
            )
            for low, high in pairwise(edges)
        ]

    evidence = scored(predictions=changed(*wrong), offline=frame(many_rows(200, seed=6)))
    assert check(*parts(evidence)) == check(evidence)


def test_the_number_of_threads_changes_nothing() -> None:
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            found.append(check(scored(offline=frame(many_rows(200, seed=6)))))
    assert found[0] == found[1] == found[2]
    assert found[0].verdict == "pass"


def test_a_row_without_a_prediction_is_counted_and_not_compared() -> None:
    predictions = pa.array([None, *LOGGED[1:]], pa.float64())
    result = check(scored(predictions=predictions))
    assert (result.verdict, result.rows, result.uncompared) == ("pass", 199, {NO_PREDICTION: 1})


def test_predictions_of_another_version_are_said_to_be_of_it() -> None:
    theirs = OTHER.predict(FRAME)
    mixed = np.where(np.arange(200) < 30, theirs, LOGGED)
    mixed[199] = 0.25
    loaded: list[str] = []

    def load(version: str, predict: Predict) -> Any:
        def loader() -> Predict:
            loaded.append(version)
            return predict

        return loader

    def gone() -> Predict:
        raise ModelError("gone.")

    others = {"9": gone, "3": load("3", OTHER.predict), "1": load("1", OTHER.predict)}
    result = check(scored(predictions=mixed), others=others)
    really = int((mixed != LOGGED).sum())
    assert result.mismatched == really
    assert result.notes == {
        "reproduced by version 3": f"{really - 1} predictions logged as version 2's are, bit for bit, "
        "those of version 3"
    }
    check(scored(), others=others)
    assert loaded == ["3", "1"]  # only a mismatch makes another version load


def test_moves_on_offline_features_are_noted_and_decide_nothing() -> None:
    offline = frame([{**row, "spent": 10.0} for row in ROWS])
    moved = BUNDLE.predict(offline)
    result = check(scored(offline=offline))
    distance = np.abs(moved - LOGGED)
    assert result.verdict == "pass"
    assert result.notes == {
        "on offline features": f"{(moved != LOGGED).sum()} of 200 predictions move",
        "mean move": f"{distance.mean():.6f}",
        "largest move": f"{distance.max():.6f}",
        "cross 0.5": f"{((moved >= 0.5) != (LOGGED >= 0.5)).sum()} of 200 predictions",
    }
    assert "cross 0.3" in check(scored(offline=offline), threshold=0.3).notes


def test_offline_features_that_cannot_be_read_are_noted() -> None:
    assert check(scored(offline="no such file.")).notes == {"offline features not read": "no such file."}


def test_no_rows_could_not_run() -> None:
    empty = scored(frame([]), [])
    for result in (check(), check(empty)):
        assert result.verdict == "could not run"


def test_an_estimator_that_fails_is_named_with_what_it_raised() -> None:
    def broken(_features: FeatureFrame) -> Floats:
        raise ZeroDivisionError("of course")

    with pytest.raises(ModelError, match=r"buyers@2: its estimator fails .* ZeroDivisionError: of course"):
        check(scored(), predict=broken)


def test_an_estimator_that_answers_in_another_shape_is_named() -> None:
    with pytest.raises(ModelError, match=r"predictions of shape \(200, 2\) for 200 rows"):
        check(scored(), predict=lambda features: np.zeros((features.num_rows, 2)))


def test_a_missing_column_is_named() -> None:
    few = FRAME.select(["buyer__city"])
    with pytest.raises(ContractError, match="the model needs buyer__orders"):
        check(scored(few))


def test_nan_predictions_reproduce() -> None:
    def none(features: FeatureFrame) -> Floats:
        return np.full(features.num_rows, np.nan)

    result = check(scored(predictions=none(FRAME), offline=FRAME), predict=none)
    assert result.verdict == "pass"
    assert result.notes["largest move"] == "0.000000"


def test_what_is_known_of_the_log_is_kept() -> None:
    later = replace(scored(), labels=replace(scored().labels, at=np.full(200, micros(PINNED + timedelta(days=1)))))
    assert check(later, uncompared={"no instant": 3}).uncompared == {"no instant": 3}
