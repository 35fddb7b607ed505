"""Everything that can be wrong with a served log: an error that names it, or counted rows; never a pass unsaid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trueup.parity.log_repo import NOON, START, LogRepo, log_repo, rows
from tests.trueup.parity.stock_log import changed, replaced

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:feast", "ignore::FutureWarning"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LogRepo:
    return log_repo(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def repo(made: LogRepo, tmp_path: Path) -> LogRepo:
    """The repository with a log of its own for each test."""
    log = tmp_path / "log"
    log.mkdir()
    return LogRepo(made.path, log)


def test_a_clean_log_in_feasts_schema_passes_and_names_service_and_rule(repo: LogRepo) -> None:
    repo.write(rows())
    ran = repo.check()
    result = ran.result
    assert (ran.code, result.subject, result.version, result.known_at) == (0, "rates", None, "label")
    assert (result.rows, result.compared, result.mismatched, result.counts.stale_equal) == (4, 12, 0, 0)
    assert ran.report is not None
    assert ran.report.facts["rule"].startswith("label, where the log names no model: none was asked for")


def test_one_changed_value_fails_with_exit_code_1(repo: LogRepo) -> None:
    repo.write(changed(rows(), "driver__trips", lambda value: value + 1, row=2))
    ran = repo.check()
    assert (ran.code, ran.result.mismatched, ran.result.failing) == (1, 1, ("driver__trips",))
    assert "FAIL" in repo.check(json=False).text


def test_another_event_time_is_found_in_whole_seconds_and_a_sub_second_one_is_none(repo: LogRepo) -> None:
    later = NOON + timedelta(seconds=1)
    for name in ("rate", "trips", "name"):
        table = changed(rows(), f"driver__{name}__timestamp", lambda _: later, row=1)
    repo.write(table)
    ran = repo.check()
    assert (ran.code, ran.result.features["driver__rate"].counts.stale_equal) == (0, 0)
    assert ran.result.notes["rows in which features of one view have different event times"] == "1"


# what the columns are


def test_unknown_columns_are_listed_and_allowed(repo: LogRepo) -> None:
    repo.write(rows().append_column("colour", pa.array(["red"] * 4)))
    ran = repo.check()
    assert (ran.code, ran.result.notes["columns nothing is known of"]) == (0, "colour")


def test_a_log_of_nothing_but_unknown_columns_is_an_error_that_lists_them(repo: LogRepo) -> None:
    repo.write(pa.table({"colour": ["red"], "size": [1]}))
    ran = repo.check()
    assert ran.code == 2
    assert "no feature service of the registry has all its features in the log" in ran.text
    ran = repo.check("--service", "rates")
    assert ran.code == 2
    assert "its columns are colour, size; expected driver__rate" in ran.text


@pytest.mark.parametrize("column", ["driver_id", "__log_timestamp"])
def test_a_missing_key_or_instant_is_named(repo: LogRepo, column: str) -> None:
    repo.write(rows().drop_columns([column]))
    ran = repo.check()
    assert ran.code == 2
    assert f"the log has no column '{column}'" in ran.text
    assert "with a column map (--map)" in ran.text


def test_several_fitting_services_are_named_and_one_can_be_chosen(repo: LogRepo) -> None:
    both = rows().append_column("driver__narrow", pa.array([np.float32(n / 10) for n in (1, 2, 3, 4)], pa.float32()))
    repo.write(
        both.append_column("wait__wait", pa.array([5 - n / 10 for n in (1, 2, 3, 4)])).append_column(
            "limit", pa.array([5.0] * 4)
        )
    )
    ran = repo.check()
    assert ran.code == 2
    assert "the log's columns fit several feature services: all_of_it, rates. Name the one" in ran.text
    for service, compared in (("all_of_it", 12), ("rates", 12), ("bare", 4)):
        ran = repo.check("--service", service)
        assert (ran.code, ran.result.compared) == (0, compared)


def test_a_feature_service_that_is_gone_is_an_error_that_lists_those_there_are(repo: LogRepo) -> None:
    repo.write(rows())
    ran = repo.check("--service", "retired")
    assert ran.code == 2
    assert (
        "feature service 'retired' is not in the registry of project 'logs', which has: all_of_it, bare, rates"
        in ran.text
    )


def test_a_feature_the_log_does_not_have_is_counted_as_uncompared(repo: LogRepo) -> None:
    repo.write(rows().drop_columns(["driver__name", "driver__name__status", "driver__name__timestamp"]))
    ran = repo.check("--service", "rates")
    assert (ran.code, ran.result.compared) == (0, 8)
    assert ran.result.features["driver__name"].counts.uncompared == {"not in the log": 4}


def test_an_on_demand_feature_without_its_request_field_is_counted_as_uncompared(repo: LogRepo) -> None:
    repo.write(rows().append_column("wait__wait", pa.array([0.0] * 4)))
    ran = repo.check("--service", "all_of_it")
    counts = ran.result.features["wait__wait"].counts
    assert (ran.code, counts.compared, counts.uncompared) == (
        0,
        0,
        {"a request field it is computed from is not in the log": 4},
    )


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("driver__trips", pa.array([101.0, 102.0, 103.0, 104.0])),
        ("driver__trips", pa.array([101, 102, 103, 104], pa.int16())),
        ("driver__rate", pa.array([0.1, 0.2, 0.3, 0.4]).dictionary_encode()),
        ("driver__name", pa.array(["d1", "d2", "d3", "d4"], pa.large_string())),
        ("driver_id", pa.array(["1", "2", "3", "4"])),
        ("driver_id", pa.array([1.0, 2.0, 3.0, 4.0])),
        ("driver__rate__status", pa.array(["PRESENT"] * 4)),
    ],
)
def test_another_type_that_loses_nothing_is_read_as_the_declared_one(
    repo: LogRepo, column: str, values: pa.Array
) -> None:
    repo.write(replaced(rows(), column, values))
    ran = repo.check()
    assert (ran.code, ran.result.compared, ran.result.mismatched) == (0, 12, 0)


def test_a_value_of_a_type_that_cannot_be_the_declared_one_is_counted_and_no_pass(repo: LogRepo) -> None:
    repo.write(replaced(rows(), "driver__trips", pa.array(["101", "102", "103", "104"])))
    ran = repo.check()
    counts = ran.result.features["driver__trips"].counts
    assert (ran.code, ran.result.verdict) == (2, "could not run")
    assert (counts.compared, counts.uncompared) == (0, {"served as string, declared int64": 4})
    assert "driver__trips was logged as string, declared int64" in str(ran.result.problem)


def test_only_the_cells_that_do_not_fit_are_left_out(repo: LogRepo) -> None:
    repo.write(replaced(rows(), "driver__trips", pa.array([101.0, 102.5, 103.0, 104.0])))
    ran = repo.check()
    counts = ran.result.features["driver__trips"].counts
    assert (ran.code, counts.compared, counts.uncompared) == (2, 3, {"served as double, declared int64": 1})


def test_keys_that_cannot_be_keys_could_not_run(repo: LogRepo) -> None:
    repo.write(replaced(rows(), "driver_id", pa.array(["1", "two", "3", "4"])))
    ran = repo.check()
    assert (ran.code, ran.result.uncompared) == (2, {"could not run": 4})
    assert "driver_id: string values do not fit the join key's type Int64" in str(ran.result.problem)


# what the rows are


def test_null_keys_are_counted_and_read_as_missing(repo: LogRepo) -> None:
    repo.write(rows(1, None, 9))
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.counts.served.missing) == (0, 3, 6)
    assert ran.result.notes["rows with a null key, read as missing"] == "1"


def test_exact_copies_are_compared_once_and_counted(repo: LogRepo) -> None:
    repo.write(rows())
    repo.write(rows(), "b.parquet")
    ran = repo.check()
    assert (ran.code, ran.result.rows) == (0, 4)
    assert ran.result.uncompared == {"an exact copy of a row that was compared": 4}


def test_rows_of_one_request_that_differ_are_all_compared_and_counted(repo: LogRepo) -> None:
    repo.write(rows())
    repo.write(changed(rows(), "driver__rate", lambda value: value + 1), "b.parquet")
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.mismatched) == (1, 5, 1)
    assert ran.result.notes["rows of one request, row and model that differ (each is compared)"] == "1"


def test_the_rows_of_a_request_are_told_apart_by_what_was_asked(repo: LogRepo) -> None:
    repo.write(replaced(rows(), "__request_id", pa.array(["one request"] * 4)))
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.notes) == (0, 4, {})


def test_rows_without_a_request_id_are_copies_of_none(repo: LogRepo) -> None:
    for name in ("a.parquet", "b.parquet"):
        repo.write(rows().drop_columns(["__request_id"]), name)
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.uncompared) == (0, 8, {})


def test_naive_instants_are_utc_and_counted_beside_aware_ones(repo: LogRepo) -> None:
    repo.write(rows(1, 2))
    naive = rows(3, 4, request="n")
    repo.write(replaced(naive, "__log_timestamp", naive["__log_timestamp"].cast(pa.timestamp("us"))), "b.parquet")
    texts = ["2013-11-01T15:00:00+01:00", "2013-11-01 14:00:00", "yesterday", None]
    repo.write(replaced(rows(request="t"), "__log_timestamp", pa.array(texts)), "c.parquet")
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.uncompared) == (0, 6, {"no instant": 2})
    assert ran.result.notes["instants without a time zone, read as UTC"] == "3"
    assert ran.result.timeline[0].start == START


def test_whole_numbers_as_instants_need_a_unit(repo: LogRepo) -> None:
    repo.write(replaced(rows(), "__log_timestamp", rows()["__log_timestamp"].cast(pa.int64())))
    ran = repo.check()
    assert ran.code == 2
    assert "__log_timestamp: the column holds int64 numbers, and nothing says what they count" in ran.text


def test_rows_from_the_future_are_counted_and_not_compared(repo: LogRepo) -> None:
    repo.write(rows(1))
    repo.write(rows(2, start=datetime.now(UTC) + timedelta(days=1), request="f"), "b.parquet")
    ran = repo.check()
    assert (ran.code, ran.result.rows) == (0, 1)
    assert ran.result.uncompared == {"from the future: served after now": 1}


def test_rows_from_before_any_data_are_missing_on_both_sides(repo: LogRepo) -> None:
    repo.write(rows(7, 8, start=NOON - timedelta(days=400)))
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.counts.recomputed.missing) == (0, 2, 6)


def test_stock_redis_calls_a_missing_entity_present(repo: LogRepo) -> None:
    table = rows(1, 9)
    for name in ("rate", "trips", "name"):
        table = replaced(table, f"driver__{name}__status", pa.array([1, 1], pa.int32()))
    repo.write(table)
    ran = repo.check()
    assert (ran.code, ran.result.counts.served.missing) == (0, 3)
    assert ran.result.notes["entities without a row that the log calls PRESENT (Feast's Redis does)"] == "3"


def test_a_value_beside_a_status_that_says_there_is_none_was_served(repo: LogRepo) -> None:
    table = changed(rows(9), "driver__rate", lambda _: 0.5)
    repo.write(table)
    ran = repo.check()
    assert (ran.code, ran.result.failing) == (1, ("driver__rate",))
    assert ran.result.notes["values logged beside a status that says there is none"] == "1"


def test_a_status_there_is_not_is_not_compared(repo: LogRepo) -> None:
    repo.write(changed(rows(), "driver__rate__status", lambda _: 77))
    ran = repo.check()
    assert ran.result.features["driver__rate"].counts.uncompared == {"no status": 1}


def test_plain_values_without_statuses_compare_as_usable_or_not(repo: LogRepo) -> None:
    plain = [name for name in rows().column_names if not name.endswith(("__status", "__timestamp"))]
    table = rows(1, 2, 9).select(plain)
    repo.write(table)
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.compared, ran.result.mismatched) == (0, 3, 9, 0)
    repo.write(changed(table, "driver__rate", lambda _: None), "a.parquet")
    ran = repo.check()
    assert (ran.code, ran.result.failing) == (1, ("driver__rate",))


# what the files are


def test_a_log_without_rows_is_no_pass(repo: LogRepo) -> None:
    repo.write(rows().slice(0, 0))
    assert repo.check().code == 2


def test_an_empty_directory_is_an_error(repo: LogRepo) -> None:
    ran = repo.check()
    assert (ran.code, "there is no Parquet file under" in ran.text, "it is empty" in ran.text) == (2, True, True)


def test_nothing_at_the_path_is_an_error(repo: LogRepo) -> None:
    for path in (repo.log / "nothing", repo.log / "*.parquet"):
        ran = repo.check(log=path)
        assert (ran.code, "there is nothing at" in ran.text) == (2, True)


def test_a_file_that_is_no_parquet_is_named(repo: LogRepo) -> None:
    (repo.log / "a.parquet").write_text("timestamp,driver\n")
    ran = repo.check()
    assert ran.code == 2
    assert "a.parquet cannot be read as Parquet" in ran.text
    (repo.log / "a.parquet").rename(repo.log / "a.csv")
    ran = repo.check()
    assert (ran.code, "it holds a.csv" in ran.text) == (2, True)


def test_a_truncated_file_is_named_and_the_others_are_compared_but_it_is_no_pass(repo: LogRepo) -> None:
    repo.write(rows(1, 2))
    cut = repo.write(rows(3, 4, request="c"), "cut.parquet")
    cut.write_bytes(cut.read_bytes()[:-40])
    ran = repo.check()
    assert ran.report is not None
    good, bad = ran.report.cells
    assert (ran.code, good.verdict, good.rows, bad.verdict) == (2, "pass", 2, "could not run")
    assert "nobody can say how many rows they hold: cut.parquet cannot be read as Parquet" in str(bad.problem)


def test_a_mismatch_found_stays_found_beside_a_truncated_file(repo: LogRepo) -> None:
    repo.write(changed(rows(), "driver__rate", lambda value: value + 1))
    cut = repo.write(rows(request="c"), "cut.parquet")
    cut.write_bytes(cut.read_bytes()[:-40])
    assert repo.check().code == 1


def test_two_columns_of_one_name_are_no_log(repo: LogRepo) -> None:
    repo.write(rows(1, 2))
    repo.write(rows(3).append_column("driver_id", pa.array([4])), "b.parquet")
    ran = repo.check()
    assert ran.report is not None
    assert (ran.code, ran.report.cells[0].rows) == (2, 2)
    assert "1 row not compared: b.parquet has two columns named 'driver_id'" in str(ran.report.cells[1].problem)


def test_damage_within_a_file_leaves_the_rows_before_it(repo: LogRepo) -> None:
    path = repo.log / "a.parquet"
    with pq.ParquetWriter(path, rows().schema, write_statistics=False) as writer:
        writer.write_table(rows(request="a"))
        writer.write_table(rows(request="b"))
    damaged = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    begins = damaged.dictionary_page_offset or damaged.data_page_offset
    data[begins : begins + damaged.total_compressed_size] = bytes(damaged.total_compressed_size)
    path.write_bytes(bytes(data))
    ran = repo.check()
    assert ran.report is not None
    assert ran.code == 2
    assert "a.parquet cannot be read as Parquet" in str(ran.report.cells[-1].problem)


def test_other_files_in_the_directory_are_said(repo: LogRepo) -> None:
    repo.write(rows())
    repo.write(pa.table({"driver_id": [1], "event_timestamp": [NOON]}), "source.parquet")
    (repo.log / "notes.txt").write_text("x")
    (repo.log / ".hidden.parquet").write_text("x")
    ran = repo.check()
    assert (ran.code, ran.result.notes) == (
        0,
        {
            "Parquet files that are no log of the service": "source.parquet (1 row)",
            "files that are no Parquet": "notes.txt",
        },
    )


def test_files_of_different_columns_are_each_read_as_they_are(repo: LogRepo) -> None:
    """A service that got a feature: older files do not have it."""
    repo.write(rows().drop_columns(["driver__name", "driver__name__status", "driver__name__timestamp"]))
    repo.write(rows(request="s"), "b.parquet")
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.compared) == (0, 8, 20)
    assert ran.result.features["driver__name"].counts.uncompared == {"not in the log": 4}


def test_hive_partitions_are_columns(repo: LogRepo) -> None:
    repo.write(rows(1, 1).drop_columns(["driver_id", "__log_date"]), "driver_id=1/__log_date=2013-11-01/a.parquet")
    ran = repo.check()
    assert (ran.code, ran.result.rows, ran.result.counts.served.missing) == (0, 2, 0)


def test_one_file_and_a_glob_are_logs_too(repo: LogRepo) -> None:
    repo.write(rows(1, 2), "x/a.parquet")
    repo.write(rows(3, request="b"), "y/b.log")
    assert repo.check(log=repo.log / "x" / "a.parquet").result.rows == 2
    assert repo.check(log=repo.log / "*" / "*.log").result.rows == 1
    assert repo.check(log=repo.log / "*").result.rows == 2


# how much is looked at


def test_a_sample_is_of_entities_is_nested_and_says_what_it_leaves_out(repo: LogRepo) -> None:
    repo.write(rows(*range(100, 300)))
    seen = {}
    for share in (0.1, 0.5, 1.0):
        ran = repo.check("--sample", share)
        left = ran.result.uncompared.get("left out of the sample", 0)
        assert (ran.code, ran.result.rows + left) == (0, 200)
        seen[share] = ran.result.rows
    assert 5 < seen[0.1] < 40 < 75 < seen[0.5] < 125
    assert seen[1.0] == 200


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_that_is_none_is_an_error(repo: LogRepo, share: float) -> None:
    repo.write(rows())
    ran = repo.check("--sample", share)
    assert (ran.code, "expected a share of the entities, more than 0 and at most 1" in ran.text) == (2, True)


def test_a_window_leaves_rows_out_and_an_unknown_rule_is_an_error(repo: LogRepo) -> None:
    repo.write(rows())
    assert repo.check("--since", "2013-11-01T14:01:00Z", "--until", "2013-11-01T14:03:00Z").result.rows == 2
    assert repo.check("--since", "2014-01-01").code == 2
    ran = repo.check("--rule", "sometimes")
    assert (ran.code, "'sometimes' is not one of served, label, unbounded" in ran.text) == (2, True)
    assert repo.check("--rule", "unbounded").result.known_at == "unbounded"
