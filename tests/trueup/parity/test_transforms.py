"""The check of on-demand views: what it counts, what it shows, and which rows it tries them on."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from trueup.contracts.contract import Field, OnDemand
from trueup.errors import ContractError
from trueup.features.example_rows import example_rows
from trueup.parity.causes import BY_NAME
from trueup.parity.checks.transforms import BATCH_DEPENDENT, REFUSED, RowSet, TriedView, check_transforms
from trueup.parity.evidence.transforms import Candidate
from trueup.parity.results import Result

AT = datetime(2013, 11, 1, tzinfo=UTC)
FIELDS = (Field("stats__x", "Float64"), Field("limit", "Float64"))
GOOD = """def tried(given):
    def share(x, limit):
        return None if x is None or not limit else x / limit
    return {
        "y": [share(x, limit) for x, limit in zip(given["x"], given["limit"])],
        "known": [x is not None for x in given["x"]],
    }
"""
ONE_ROW = """def tried(given):
    xs = [0.5 if x == 7.0 and len(given["x"]) > 1 else x for x in given["x"]]
    return {"y": [None if x is None else x / 2.0 for x in xs], "known": [x is not None for x in xs]}
"""
MUTATING = GOOD.replace(
    "    return {\n", "    given['limit'][:] = [1.0 if v == 2.0 else v for v in given['limit']]\n    return {\n"
)


def view(code: str = GOOD) -> OnDemand:
    outputs = (Field("y", "Float64"), Field("known", "Bool"))
    return OnDemand("tried", "python", (("stats", "x"),), (Field("limit", "Float64"),), outputs, code)


def rows(*xs: float | None) -> pa.Table:
    return pa.table({"stats__x": pa.array(xs, pa.float64()), "limit": pa.array([2.0] * len(xs))})


def check(code: str, *tables: pa.Table) -> Result:
    sets = [RowSet(name, "of a test", table) for name, table in zip(("real", "generated"), tables, strict=False)]
    return check_transforms(TriedView(view(code), tuple(sets), AT, "flights", "c" * 64))


def test_a_row_wise_view_passes_on_real_and_generated_rows() -> None:
    result = check(GOOD, rows(1.0, None, 7.0), example_rows(FIELDS, 40, seed=1))
    assert (result.verdict, result.rows, result.compared, result.mismatched) == ("pass", 43, 86, 0)
    assert {name: feature.dtype for name, feature in result.features.items()} == {
        "tried__y": "Float64",
        "tried__known": "Bool",
    }
    assert result.notes == {"real rows": "3 of a test", "generated rows": "40 of a test"}
    assert (result.subject, result.service, result.contract) == ("tried", "flights", "c" * 64)


def test_one_value_that_depends_on_the_batch_is_counted_once_however_many_ways_show_it() -> None:
    result = check(ONE_ROW, rows(1.0, 2.0, 7.0, 3.0))
    assert (result.verdict, result.mismatched) == ("fail", 1)
    assert result.features["tried__y"].counts.mismatched == 1
    (sample,) = result.samples
    assert (sample.served.value, sample.recomputed.value) == ("0.25", "3.5")
    assert (sample.keys, sample.request, sample.at) == ({"stats__x": "7.0", "limit": "2.0"}, "real row 2", AT)


def test_the_cause_is_the_batch() -> None:
    """By its name once the causes have it; until then without one, and in the notes either way."""
    result = check(ONE_ROW, rows(1.0, 2.0, 7.0, 3.0))
    known = BATCH_DEPENDENT in BY_NAME
    assert result.by_cause == ({BATCH_DEPENDENT: 1} if known else {})
    assert result.unexplained == (0 if known else 1)
    assert result.notes["real rows, in batches of 2"] == "1 rows came out otherwise, such as row 2"


def test_a_view_that_changes_its_inputs_fails_and_it_is_said() -> None:
    result = check(MUTATING, rows(1.0, 2.0))
    assert (result.verdict, result.unexplained) == ("fail", 4)
    assert any("changed its inputs" in label for label in result.notes)


def test_rows_that_fail_each_time_are_counted_and_rows_add_up() -> None:
    code = GOOD.replace("x / limit", "x / (limit - x)")
    result = check(code, rows(1.0, 2.0, 3.0))
    assert (result.verdict, result.rows, result.uncompared) == ("pass", 2, {REFUSED: 1})
    assert result.notes["fails on real rows"].startswith(
        "1 of 3, such as row 1: on-demand view tried failed: ZeroDivision"
    )


def test_a_view_that_fails_on_every_row_could_not_be_tried() -> None:
    result = check("def tried(given):\n    return missing\n", rows(1.0, 2.0))
    assert (result.verdict, result.uncompared) == ("could not run", {REFUSED: 2})
    assert re.search(r"no value for any of 2 rows tried .*NameError", str(result.problem))


def test_a_source_that_does_not_run_is_an_error() -> None:
    with pytest.raises(ContractError, match="its source does not run"):
        check("def tried(given)\n", rows(1.0))


def test_no_rows_could_not_run() -> None:
    assert check(GOOD, rows()).verdict == "could not run"
    assert check(GOOD).verdict == "could not run"


@pytest.mark.parametrize("mode", ["python", "pandas"])
def test_a_batch_that_raises_has_no_value_for_any_of_its_rows(mode: str) -> None:
    body = {
        "python": "    assert len(given['x']) == 1\n    return {'y': given['x'], 'known': [True]}\n",
        "pandas": "    assert len(given) == 1\n    return given.assign(y=given['x'], known=True)\n",
    }[mode]
    tried = TriedView(
        replace(view(f"def tried(given):\n{body}"), mode=mode), (RowSet("real", "r", rows(1.0, 2.0)),), AT
    )
    result = check_transforms(tried)
    assert result.mismatched == 4
    assert {sample.served.status for sample in result.samples} == {"missing"}
    assert any("AssertionError" in note for note in result.notes.values())


def test_an_input_of_a_type_trueup_has_no_values_of_is_given_as_null() -> None:
    candidate = Candidate(view(), {"limit": "Float64"}, {}, nulls={"stats__x": "ScalarMap"})
    made = candidate.rows("real", "of a test", pa.table({"limit": [1.0, 2.0]}))
    assert made.rows.column("stats__x").to_pylist() == [None, None]
    result = check_transforms(TriedView(view(), (made,), AT))
    assert (result.verdict, result.rows) == ("pass", 2)


def test_checking_twice_gives_the_same() -> None:
    first, second = (check(ONE_ROW, rows(1.0, 7.0), example_rows(FIELDS, 60, seed=3)) for _ in range(2))
    assert first == second
