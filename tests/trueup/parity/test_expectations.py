"""Great Expectations runs our suites, and says what the slow reading of them says. It sends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.trueup.models.examples import CONTRACT, frame, many_rows

from trueup.parity.checks.expectations import ServedWindow, Validated, check_expectations
from trueup.parity.evidence.expectations import DataDocs, Validator, window_frame
from trueup.parity.results import ExpectationResult
from trueup.parity.suite import for_rows, read_suite, suite_bytes

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:great_expectations")

AT = datetime(2013, 11, 8, tzinfo=UTC)
TRAINED_ON = frame(many_rows(4000))
SUITE = read_suite(suite_bytes(CONTRACT, TRAINED_ON, model="buyers"))


def check(values: pa.Table, suite: Mapping[str, Any] = SUITE, **options: Any) -> ExpectationResult:
    return check_expectations(
        ServedWindow(
            **{
                "model": "buyers",
                "version": "1",
                "service": CONTRACT.service,
                "contract": CONTRACT.hash,
                "suite": suite,
                "values": values,
                "validate": Validator(AT),
                **options,
            }
        )
    )


def served(rows: int, seed: int = 1) -> pa.Table:
    return frame(many_rows(rows, seed=seed)).values


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def failed(result: ExpectationResult) -> dict[str, tuple[int, int]]:
    return {f"{item.kind[7:]} {item.feature}": (item.unexpected, item.examined) for item in result.failed}


def test_great_expectations_takes_the_suite_as_it_is_kept() -> None:
    from trueup.parity.evidence.expectations import import_great_expectations

    kept = import_great_expectations().ExpectationSuite(**SUITE).to_json_dict()
    assert (kept["name"], kept["id"], kept["meta"]["trueup"]) == (SUITE["name"], SUITE["id"], SUITE["meta"]["trueup"])
    assert [(item["id"], item["type"], item["kwargs"]) for item in kept["expectations"]] == [
        (item["id"], item["type"], item["kwargs"]) for item in SUITE["expectations"]
    ]


def test_the_training_set_meets_its_own_suite() -> None:
    result = check(TRAINED_ON.values)
    assert (result.verdict, result.rows, result.failed) == ("pass", 4000, ())
    assert len(result.expectations) == len(SUITE["expectations"])
    assert result.suite == f"buyers on buyers_v1@{CONTRACT.hash[:12]}"


def test_more_of_the_same_passes_whatever_its_size() -> None:
    for rows in (1, 30, 1500):
        result = check(served(rows))
        assert result.verdict == "pass"
        assert ("few rows" in result.notes) == (rows < 1000)


def test_what_changed_is_named_with_how_many_rows_are_against_it() -> None:
    table = served(2000)
    table = with_column(table, "buyer__city", pa.array(["Atlantis"] * 50 + ["Oslo"] * 1950))
    table = with_column(table, "buyer__spent", pa.array([1e6] * 100 + [100.0] * 1900))
    table = with_column(table, "buyer__score", pa.nulls(2000, pa.float32()))
    result = check(table)
    assert failed(result) == {
        "column_values_to_be_in_set buyer__city": (50, 2000),
        "column_values_to_be_between buyer__spent": (100, 2000),
        "column_values_to_not_be_null buyer__score": (2000, 2000),
    }
    said = {item.feature: item.observed for item in result.failed}
    assert said == {
        "buyer__city": "2.5000% against it, such as Atlantis",
        "buyer__spent": "5.0000% against it, such as 1000000.0",
        "buyer__score": "100.0000% against it",
    }


def test_a_column_of_another_type_or_none_at_all_fails() -> None:
    table = served(1200)
    other = with_column(table, "buyer__orders", pa.array([1.5] * 1200))
    assert list(failed(check(other))) == ["column_values_to_be_of_type buyer__orders"]
    gone = check(table.drop_columns(["buyer__orders"]))
    assert "table_columns_to_match_ordered_list None" in failed(gone)
    assert any("buyer__orders" in str(item.observed) for item in gone.failed)


def test_the_slow_reading_of_each_margin_agrees() -> None:
    table = with_column(served(1500), "buyer__spent", pa.array(np.linspace(-400, 600, 1500)))
    for item in Validator(AT)(SUITE, table):
        if item.unexpected is None or item.kind.endswith("of_type"):
            continue
        values = table.column(str(item.column)).to_pylist()
        present = [value for value in values if value is not None]
        if item.kind.endswith("not_be_null"):
            against, among = len(values) - len(present), len(values)
        elif "value_set" in item.arguments:
            against, among = sum(value not in item.arguments["value_set"] for value in present), len(present)
        else:
            low, high = item.arguments["min_value"], item.arguments["max_value"]
            against, among = sum(not low <= value <= high for value in present), len(present)
        assert (item.unexpected, item.rows - item.missing) == (against, among)
        assert item.success == ((among - against) / among >= item.arguments["mostly"])


def test_results_stand_in_the_suites_order() -> None:
    found: tuple[Validated, ...] = Validator(AT)(for_rows(SUITE, 40), served(40))
    wanted = [(item["type"], item["kwargs"].get("column")) for item in for_rows(SUITE, 40)["expectations"]]
    assert [(item.kind, item.column) for item in found] == wanted


def test_no_rows_could_not_run() -> None:
    result = check(served(0))
    assert (result.verdict, result.expectations) == ("could not run", ())


def test_integers_stay_integers_and_nulls_nulls() -> None:
    table = pa.table(
        {
            "i": pa.array([2**53 + 1, None]),
            "b": pa.array([True, None]),
            "s": pa.array(["", None]),
            "l": pa.array([[1], None]),
            "f": pa.array([0.5, None], pa.float32()),
        }
    )
    found = window_frame(table)
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == {
        "i": "Int64",
        "b": "boolean",
        "s": "object",
        "l": "object",
        "f": "float32",
    }
    assert found["i"][0] == 2**53 + 1
    assert found.isna().sum().tolist() == [1] * 5
    assert found["l"][0] == [1]


def test_data_docs_are_built_where_they_are_asked_for(tmp_path: Path) -> None:
    docs = DataDocs(tmp_path / "report" / "docs", tmp_path / "report")
    result = check(served(1200), validate=Validator(AT, docs.of("buyers", "1")), data_docs=docs.link("buyers", "1"))
    assert result.data_docs == "docs/buyers-1/index.html"
    assert (tmp_path / "report" / str(result.data_docs)).is_file()
    (page,) = (docs.of("buyers", "1") / "validations").rglob("*.html")
    assert "buyer__city" in page.read_text(encoding="utf-8")


def test_great_expectations_is_imported_only_to_run_a_suite_and_makes_no_connection(tmp_path: Path) -> None:
    """In a process of its own, where any connection and any file in the home folder would show."""
    program = """
import sys, socket
def refuse(*_args, **_options): raise SystemExit("a connection was tried")
socket.socket.connect = socket.create_connection = refuse
import trueup.cli.parity, trueup.parity.runs.expectations, trueup.parity.suite
assert "great_expectations" not in sys.modules
from tests.trueup.parity.test_expectations import check, served
assert check(served(50)).verdict == "pass"
assert "great_expectations" in sys.modules
"""
    environment = {name: value for name, value in os.environ.items() if name != "GX_ANALYTICS_ENABLED"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not list(tmp_path.rglob("*great_expectations*"))


def test_checking_twice_gives_the_same() -> None:
    assert check(served(300)) == check(served(300))
    assert replace(check(served(300)), notes={}) != check(served(301))
