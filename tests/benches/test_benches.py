"""The benches' results are equal at a small size; nothing is asserted of times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.benches import __main__ as harness
from tests.benches import compare, measure


@pytest.mark.filterwarnings("ignore:the argument `join_nulls`:DeprecationWarning")  # datacompy's own
def test_every_way_counts_the_seeded_mismatches_of_two_tables_alike(tmp_path: Path) -> None:
    compare.write(tmp_path, 3000)
    assert set(compare.timed(tmp_path, 1)["ratios"]) == {"aligned", "keyed"}
    assert {"rate", "embedding"} <= set(compare.not_seen_by_datacompy(tmp_path))


def test_a_bench_in_a_process_of_its_own_says_its_peak_or_why_it_failed(tmp_path: Path) -> None:
    compare.write(tmp_path, 1000)
    assert measure.in_process(compare.MODULE, "peak", str(tmp_path), "keyed") > 1
    with pytest.raises(measure.ProcessError, match="no Parquet file there") as failed:
        measure.in_process(compare.MODULE, "peak", str(tmp_path / "nowhere"), "keyed")
    assert not failed.value.out_of_memory


def test_benches_are_found_by_their_function() -> None:
    found = harness.names()
    assert "compare" in found
    assert "measure" not in found


@pytest.mark.parametrize("name", ["distribution"])
def test_a_bench_gives_rows_as_the_harness_takes_them(tmp_path: Path, name: str) -> None:
    (row,) = harness.run(name, 1e-4, tmp_path)
    assert row["equal"]
    assert row["ratio_to_floor"] > 0


def test_rows_of_the_same_name_are_replaced_and_others_kept(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "bench.json"
    harness.merge(out, [{"name": "b", "equal": True}, {"name": "a", "equal": True}])
    harness.merge(out, [{"name": "b", "equal": True, "new": 1}])
    assert [row["name"] for row in json.loads(out.read_text())] == ["a", "b"]
    assert json.loads(out.read_text())[1]["new"] == 1
