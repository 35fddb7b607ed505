from __future__ import annotations

import pyarrow as pa
import pytest

from trueup.errors import InputError
from trueup_demo.outcomes import online_scores

FLIGHTS = pa.table({"flight_id": ["a", "b", "c", "d"], "late": [True, False, True, False]})


def served(rows: list[tuple[str, str, str, float]]) -> pa.Table:
    names = ("__model", "__request_id", "__role", "__prediction")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def test_a_model_is_scored_on_every_request_and_also_on_those_it_answered() -> None:
    rows = [("m", "a", "answer", 0.9), ("m", "b", "answer", 0.1), ("m", "c", "shadow", 0.2), ("m", "d", "shadow", 0.3)]
    score = online_scores(served(rows), FLIGHTS, ("m",))["m"]
    assert (score.requests, score.scored) == (2, 4)
    assert score.auc == 0.75  # of the four pairs of a late and a punctual flight one is in the wrong order
    assert score.auc_answered == 1.0


@pytest.mark.parametrize("ids", [["a", "b", "c"], ["a", "b", "c", "c"], ["a", "b", "c", "x"]])
def test_a_log_that_is_not_whole_is_an_error_and_no_score(ids: list[str]) -> None:
    with pytest.raises(InputError, match="not whole"):
        online_scores(served([("m", found, "answer", 0.5) for found in ids]), FLIGHTS, ("m",))
