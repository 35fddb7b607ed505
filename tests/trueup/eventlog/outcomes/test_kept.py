"""The store of outcomes: the same content is the same file, and a file is what its name says or an error."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.errors import InputError, SourceError
from trueup.eventlog.outcomes import keep_outcomes, known_outcomes, read_outcomes
from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.eventlog.outcomes.unseen import unseen

NOON = datetime(2013, 11, 24, 12, tzinfo=UTC)


def table(*rows: tuple[str, float, int]) -> pa.Table:
    """request, value, hour in which it became known."""
    return pa.Table.from_pylist(
        [
            {"request_id": request, "row": 0, "value": value, "known_at": NOON + timedelta(hours=hour)}
            for request, value, hour in rows
        ],
        SCHEMA,
    )


def timed(*rows: tuple[str, float, int]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"keys": keys, "at": NOON, "within": 0, "value": value, "known_at": NOON + timedelta(hours=hour)}
            for keys, value, hour in rows
        ],
        SCHEMA,
    )


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    found = pa.concat_tables([table(("a", 1.0, 0), ("é", 0.5, 1)), timed(('{"origin":"JFK"}', 2.0, 3))])
    keep_outcomes(tmp_path, "late", found)
    order = [(name, "ascending") for name in SCHEMA.names]
    assert read_outcomes(tmp_path, "late").table.sort_by(order).equals(found.sort_by(order))
    assert known_outcomes(tmp_path) == ("late",)


def test_the_same_rows_in_any_order_are_the_same_file(tmp_path: Path) -> None:
    one = keep_outcomes(tmp_path, "late", table(("a", 1.0, 0), ("b", 0.0, 1)))
    before = one.path.read_bytes()
    two = keep_outcomes(tmp_path, "late", table(("b", 0.0, 1), ("a", 1.0, 0)))
    assert (one.new, two.new) == (True, False)
    assert two.path == one.path
    assert one.path.read_bytes() == before
    assert [file.name for file in one.path.parent.iterdir()] == [one.path.name]


@pytest.mark.parametrize("other", [("a", 0.0, 0), ("b", 1.0, 0), ("a", 1.0, 1)])
def test_other_content_is_another_file(tmp_path: Path, other: tuple[str, float, int]) -> None:
    one = keep_outcomes(tmp_path, "late", table(("a", 1.0, 0)))
    assert keep_outcomes(tmp_path, "late", table(other)).path != one.path
    assert read_outcomes(tmp_path, "late").table.num_rows == 2


def test_texts_that_run_into_each_other_are_told_apart(tmp_path: Path) -> None:
    one = keep_outcomes(tmp_path, "late", table(("ab", 1.0, 0), ("c", 1.0, 0)))
    assert keep_outcomes(tmp_path, "late", table(("a", 1.0, 0), ("bc", 1.0, 0))).path != one.path


def test_the_bytes_do_not_depend_on_hash_seed_or_time_zone(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from tests.trueup.eventlog.outcomes.test_kept import table, keep_outcomes;"
        "print(keep_outcomes(pathlib.Path(sys.argv[1]), 'late', table(('a', 1.0, 0), ('b', 0.1, 1))).path.name)"
    )
    found = set()
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        root = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        name = subprocess.run(
            [sys.executable, "-c", program, root], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        found.add((name, hashlib.sha256((root / "late" / name).read_bytes()).hexdigest()))
    assert len(found) == 1


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = keep_outcomes(tmp_path, "late", table(("a", 1.0, 0))).path
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SourceError, match=f"{path.name} cannot be read as outcomes"):
        read_outcomes(tmp_path, "late")


def test_a_file_that_was_changed_is_an_error(tmp_path: Path) -> None:
    path = keep_outcomes(tmp_path, "late", table(("a", 1.0, 0))).path
    pq.write_table(table(("a", 0.0, 0)), path)
    with pytest.raises(SourceError, match=f"{path.name} does not hold the outcomes that it is named for"):
        read_outcomes(tmp_path, "late")


@pytest.mark.parametrize("name", ["", "../late", "a/b", ".hidden", "a b", "1st", "x" * 300])
def test_a_name_that_could_lead_elsewhere_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name"):
        keep_outcomes(tmp_path, name, table(("a", 1.0, 0)))
    assert list(tmp_path.iterdir()) == []


def test_an_outcome_that_nothing_was_imported_of_is_named_with_those_there_are(tmp_path: Path) -> None:
    keep_outcomes(tmp_path, "late", table(("a", 1.0, 0)))
    with pytest.raises(InputError, match=r"nothing was imported as 'revenue' .*; it has late"):
        read_outcomes(tmp_path, "revenue")
    with pytest.raises(InputError, match="it has none"):
        read_outcomes(tmp_path / "nowhere", "late")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "late").write_text("a file")
    with pytest.raises(SourceError, match="outcomes cannot be kept in"):
        keep_outcomes(tmp_path, "late", table(("a", 1.0, 0)))


def test_what_a_dated_source_says_again_is_seen(tmp_path: Path) -> None:
    kept = table(("a", 1.0, 0), ("b", 0.0, 0))
    grown = table(("a", 1.0, 0), ("b", 0.0, 0), ("b", 1.0, 2), ("c", 1.0, 0))
    assert unseen(grown, kept, dated=True).equals(table(("b", 1.0, 2), ("c", 1.0, 0)))


def test_an_undated_source_says_something_new_only_where_the_last_value_is_another() -> None:
    kept = table(("a", 1.0, 0), ("b", 0.0, 0), ("b", 1.0, 1))
    again = table(("a", 1.0, 5), ("b", 1.0, 5))
    assert unseen(again, kept, dated=False).num_rows == 0
    back = table(("a", 1.0, 5), ("b", 0.0, 5), ("c", 0.0, 5))
    assert unseen(back, kept, dated=False).equals(table(("b", 0.0, 5), ("c", 0.0, 5)))


def test_entities_are_seen_too() -> None:
    kept = timed(('{"origin":"JFK"}', 1.0, 0))
    again = timed(('{"origin":"JFK"}', 1.0, 5), ('{"origin":"LGA"}', 1.0, 5))
    assert unseen(again, kept, dated=False).column("keys").to_pylist() == ['{"origin":"LGA"}']


ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0.0, 1.0]), st.integers(0, 2)), min_size=1, max_size=6
)


@given(ROWS, ROWS)
def test_a_dated_import_adds_exactly_what_is_not_there(kept: Any, given_rows: Any) -> None:
    found = unseen(table(*given_rows), table(*kept), dated=True)
    assert found.equals(table(*(row for row in given_rows if row not in kept)))


@given(ROWS)
def test_the_same_import_twice_adds_nothing(rows: Any) -> None:
    assert unseen(table(*rows), table(*rows), dated=True).num_rows == 0
