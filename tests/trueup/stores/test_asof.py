"""Laws of the as-of read, one at a time: clocks, ties, keys, types, and errors that name what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueup.contracts.contract import Field, JoinKey, Source, View
from trueup.errors import InputError, SourceError
from trueup.frame import Status
from trueup.instants import AsOfRule
from trueup.stores.asof import LatestRows, read_latest, read_view

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
US = pa.timestamp("us", tz="UTC")
LABEL = AsOfRule("label")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def view(**changes: Any) -> View:
    return View(
        **{
            "name": "v",
            "table": "v",
            "keys": (JoinKey("k", "Int64", "k"),),
            "features": (Field("x", "Int64"),),
            "ttl": None,
            "source": source(),
            **changes,
        }
    )


def source(**changes: Any) -> Source:
    return Source(
        **{
            "kind": "FileSource",
            "timestamp_field": "at",
            "created_column": "created",
            "query": None,
            "tables": {"source": "rows.parquet"},
            "field_mapping": {},
            **changes,
        }
    )


class Reader:
    """One Parquet file and reads of it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    def write(self, columns: dict[str, Any], name: str = "rows.parquet") -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({column: pa.array(values, _guess(values)) for column, values in columns.items()})
        pq.write_table(table, self.folder / name, write_statistics=False)

    def read(self, keys: list[Any], at: datetime, rule: AsOfRule = LABEL, of: View | None = None) -> list[Any]:
        """(value, status, event time) of the first feature for each key, all at one instant."""
        asked = pa.table({"k": pa.array(keys), "t": pa.array([at] * len(keys), US)})
        got = read_view(self.connection, of or view(), asked, instant="t", rule=rule, base_dir=self.folder)
        return list(
            zip(
                got.values.column(0).to_pylist(),
                [Status(status).name for status in got.statuses.column(0).to_pylist()],
                got.event_timestamps.to_pylist(),
                strict=True,
            )
        )

    def latest(self, of: View | None = None, **window: Any) -> LatestRows:
        window = {"start": None, "end": NOON + 100 * HOUR, "known_at": NOON + 100 * HOUR, **window}
        return read_latest(self.connection, of or view(), base_dir=self.folder, **window)


def _guess(values: Any) -> pa.DataType | None:
    if isinstance(values, pa.Array):
        return values.type
    return US if any(isinstance(value, datetime) for value in values) else None


@pytest.fixture
def reader(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Reader:
    return Reader(connection, tmp_path)


def rows(*items: tuple[Any, ...]) -> dict[str, list[Any]]:
    """Columns k, at, created, x."""
    return dict(zip(("k", "at", "created", "x"), map(list, zip(*items, strict=True)), strict=True))


# States ---------------------------------------------------------------------------------------------------------------


def test_the_four_states_are_told_apart(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7), (2, NOON, NOON, None), (3, NOON - 5 * HOUR, NOON, 9)))
    assert reader.read([1, 2, 3, 4, None], NOON + HOUR, of=view(ttl=2 * HOUR)) == [
        (7, "PRESENT", NOON),
        (None, "NULL", NOON),
        (None, "EXPIRED", NOON - 5 * HOUR),
        (None, "MISSING", None),
        (None, "MISSING", None),
    ]


def test_a_null_newest_value_does_not_fall_back_on_an_older_one(reader: Reader) -> None:
    reader.write(rows((1, NOON - HOUR, NOON - HOUR, 7), (1, NOON, NOON, None)))
    assert reader.read([1], NOON) == [(None, "NULL", NOON)]


def test_an_expired_winner_does_not_fall_back_on_anything(reader: Reader) -> None:
    """The late correction of an old event is not newer than the event."""
    reader.write(rows((1, NOON - 5 * HOUR, NOON, 7), (1, NOON - 6 * HOUR, NOON - 6 * HOUR, 8)))
    assert reader.read([1], NOON, of=view(ttl=HOUR)) == [(None, "EXPIRED", NOON - 5 * HOUR)]


def test_the_ttl_is_inclusive_to_the_microsecond(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    limited = view(ttl=HOUR)
    assert reader.read([1], NOON + HOUR, of=limited)[0][1] == "PRESENT"
    assert reader.read([1], NOON + HOUR + MICROSECOND, of=limited)[0][1] == "EXPIRED"


def test_a_late_older_event_never_replaces_a_newer_one(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7), (1, NOON - HOUR, NOON + HOUR, 8)))
    assert [reader.read([1], NOON + hours * HOUR)[0][0] for hours in (0, 1, 2)] == [7, 7, 7]


# Clocks ---------------------------------------------------------------------------------------------------------------


def test_a_row_without_created_time_is_known_at_its_event_time(reader: Reader) -> None:
    reader.write(rows((1, NOON, None, 7), (1, NOON - HOUR, NOON - HOUR, 8)))
    assert reader.read([1], NOON) == [(7, "PRESENT", NOON)]
    assert reader.read([1], NOON - MICROSECOND) == [(8, "PRESENT", NOON - HOUR)]


def test_a_row_known_before_its_event_counts_from_the_event_on(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON - 5 * HOUR, 7)))
    assert reader.read([1], NOON - MICROSECOND) == [(None, "MISSING", None)]
    assert reader.read([1], NOON) == [(7, "PRESENT", NOON)]


def test_a_row_without_event_time_or_known_never_does_not_count(reader: Reader) -> None:
    query = """
        SELECT 1 AS k, "at"::TIMESTAMPTZ AS "at", created::TIMESTAMPTZ AS created, x
        FROM (VALUES (NULL, NULL, 7), ('infinity', '2024-05-01', 8), ('2024-05-01', 'infinity', 9))
            AS t("at", created, x)
    """
    for rule in (LABEL, AsOfRule("unbounded"), AsOfRule("served")):
        of = view(source=source(query=query, tables={}))
        assert reader.read([1], NOON + HOUR, rule, of) == [(None, "MISSING", None)]


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("ns", tz="UTC"),
        pa.timestamp("ns"),
        pa.timestamp("us"),
        pa.timestamp("ms", tz="Asia/Tokyo"),
        pa.timestamp("s"),
    ],
)
def test_clocks_of_any_resolution_and_zone_are_read_as_utc(reader: Reader, kind: pa.DataType) -> None:
    clock = pa.array([NOON], US).cast(kind)
    reader.write({"k": [1], "at": clock, "created": clock, "x": [7]})
    assert reader.read([1], NOON) == [(7, "PRESENT", NOON)]
    assert reader.read([1], NOON - MICROSECOND) == [(None, "MISSING", None)]
    assert reader.latest().event_timestamps.to_pylist() == [NOON]


def test_a_date_is_its_midnight_in_utc(reader: Reader) -> None:
    reader.write({"k": [1], "at": pa.array([date(2024, 5, 1)]), "created": pa.array([date(2024, 5, 1)]), "x": [7]})
    midnight = NOON - 12 * HOUR
    assert reader.read([1], midnight) == [(7, "PRESENT", midnight)]
    assert reader.read([1], midnight - MICROSECOND)[0][1] == "MISSING"


def test_events_before_1970_count_too(reader: Reader) -> None:
    moon = datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=UTC)
    reader.write(rows((1, moon, moon, 7)))
    assert reader.read([1], NOON) == [(7, "PRESENT", moon)]
    assert reader.latest(start=moon).event_timestamps.to_pylist() == [moon]


def test_a_querys_own_time_arithmetic_is_in_utc_whatever_the_connection_was_set_to(reader: Reader) -> None:
    reader.connection.execute("SET TimeZone = 'America/New_York'")
    reader.write(rows((1, NOON, NOON, 0)))
    of = view(source=source(query='SELECT * REPLACE (hour("at") AS x) FROM r', tables={"r": "rows.parquet"}))
    assert reader.read([1], NOON, of=of) == [(12, "PRESENT", NOON)]


@pytest.mark.parametrize(
    "instants",
    [
        pa.array([NOON], pa.timestamp("ns", tz="UTC")),
        pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms")),
        pa.array([NOON], pa.timestamp("s", tz="Asia/Tokyo")),
    ],
)
def test_instants_of_requests_may_have_any_resolution_and_zone(reader: Reader, instants: pa.Array) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    asked = pa.table({"k": [1], "t": instants})
    got = read_view(reader.connection, view(), asked, instant="t", rule=LABEL, base_dir=reader.folder)
    assert got.values["v__x"].to_pylist() == [7]


def test_an_instant_finer_than_a_microsecond_is_cut_off_downwards(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    asked = pa.table({"k": [1], "t": pa.array([int(NOON.timestamp()) * 10**9 - 1], pa.timestamp("ns", tz="UTC"))})
    got = read_view(reader.connection, view(), asked, instant="t", rule=LABEL, base_dir=reader.folder)
    assert got.values["v__x"].to_pylist() == [None]


# Ties -----------------------------------------------------------------------------------------------------------------


def test_of_equal_event_times_the_later_known_wins(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON + HOUR, 8), (1, NOON, NOON, 7)))
    assert reader.read([1], NOON)[0][0] == 7
    assert reader.read([1], NOON + HOUR)[0][0] == 8


def test_two_rows_that_cannot_be_told_apart_are_an_error_that_names_them(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON + HOUR, 7), (1, NOON, NOON + HOUR, 8)))
    message = r"feature view v: its source is ambiguous: entity k=1 .* 2024-05-01T12:00:00Z .* 2024-05-01T13:00:00Z"
    with pytest.raises(SourceError, match=message):
        reader.read([1], NOON + HOUR)
    with pytest.raises(SourceError, match=message):
        reader.latest()


def test_a_value_and_a_null_cannot_be_told_apart_either(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7), (1, NOON, NOON, None)))
    with pytest.raises(SourceError, match="ambiguous"):
        reader.read([1], NOON)


def test_rows_repeated_whole_are_one_row(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, None), (1, NOON, NOON, None), (2, NOON, NOON, 8), (2, NOON, NOON, 8)))
    assert [value for value, *_ in reader.read([1, 2], NOON)] == [None, 8]
    assert reader.latest().num_rows == 2


def test_an_ambiguity_that_decides_no_result_is_no_error(reader: Reader) -> None:
    """Of another entity, overtaken, still to come, expired, or in a feature that is not read."""
    reader.write(
        rows(
            *((2, NOON, NOON, x) for x in (1, 2)),
            *((1, NOON - HOUR, NOON - HOUR, x) for x in (1, 2)),
            (1, NOON, NOON, 7),
            *((1, NOON + HOUR, NOON + HOUR, x) for x in (1, 2)),
        )
        | {"y": [1] * 7}
    )
    assert reader.read([1], NOON) == [(7, "PRESENT", NOON)]
    assert reader.read([2], NOON + 9 * HOUR, of=view(ttl=HOUR)) == [(None, "EXPIRED", NOON)]
    assert reader.read([2], NOON, of=view(features=(Field("y", "Int64"),)))[0][0] == 1
    with pytest.raises(SourceError, match="ambiguous"):
        reader.read([2], NOON + HOUR, of=view(ttl=HOUR))


# Pinned and pulled ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known_at", ["served", "label", "unbounded"])
def test_what_is_known_after_the_pinned_instant_never_counts(reader: Reader, known_at: Any) -> None:
    reader.write(rows((1, NOON, NOON, 7), (1, NOON, NOON + HOUR, 8)))
    assert reader.read([1], NOON + 9 * HOUR, AsOfRule(known_at, pinned=NOON + HOUR))[0][0] == 8
    assert reader.read([1], NOON + 9 * HOUR, AsOfRule(known_at, pinned=NOON + HOUR - MICROSECOND))[0][0] == 7


def test_a_pull_is_bounded_by_both_clocks_to_the_microsecond(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON + HOUR, 7)))
    window = {"start": NOON, "end": NOON, "known_at": NOON + HOUR, "known_after": NOON + HOUR - MICROSECOND}
    assert reader.latest(**window).features["x"].to_pylist() == [7]
    for edge, off in (("start", 1), ("end", -1), ("known_at", -1), ("known_after", 1)):
        assert reader.latest(**{**window, edge: window[edge] + off * MICROSECOND}).num_rows == 0


def test_an_event_still_to_come_is_new_once_it_comes_however_early_it_was_known(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON - 9 * HOUR, 7)))
    assert reader.latest(end=NOON, known_at=NOON, known_after=NOON - HOUR).num_rows == 1


def test_a_source_without_created_column_gives_no_created_times(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    got = reader.latest(view(source=source(created_column=None)))
    assert got.created_timestamps.to_pylist() == [None]
    assert reader.latest().created_timestamps.to_pylist() == [NOON]


def test_a_pull_is_in_key_order(reader: Reader) -> None:
    reader.write(rows(*((key, NOON, NOON, key) for key in (5, 3, 9, -1))))
    assert reader.latest().keys["k"].to_pylist() == [-1, 3, 5, 9]


# Keys -----------------------------------------------------------------------------------------------------------------


def test_composite_keys_are_columns_and_never_run_together(reader: Reader) -> None:
    pair = (JoinKey("k", "String", "k"), JoinKey("b", "String", "b"))
    reader.write(rows(("1", NOON, NOON, 7), ("11", NOON, NOON, 8)) | {"b": ["12", "2"]})
    asked = pa.table({"b": ["2", "12", "2"], "k": ["1", "1", "11"], "t": pa.array([NOON] * 3, US)})
    got = read_view(reader.connection, view(keys=pair), asked, instant="t", rule=LABEL, base_dir=reader.folder)
    assert got.values["v__x"].to_pylist() == [None, 7, 8]


def test_a_null_in_any_part_of_a_key_matches_nothing_on_either_side(reader: Reader) -> None:
    pair = (JoinKey("k", "Int64", "k"), JoinKey("b", "String", "b"))
    reader.write(rows((1, NOON, NOON, 7), (None, NOON, NOON, 8)) | {"b": [None, "x"]})
    asked = pa.table({"k": [1, None, 1], "b": [None, "x", "x"], "t": pa.array([NOON] * 3, US)})
    got = read_view(reader.connection, view(keys=pair), asked, instant="t", rule=LABEL, base_dir=reader.folder)
    assert got.values["v__x"].to_pylist() == [None] * 3


def test_a_view_without_keys_has_one_row_for_everybody(reader: Reader) -> None:
    reader.write(rows((0, NOON, NOON, 7), (0, NOON + HOUR, NOON + HOUR, 8)))
    assert [value for value, *_ in reader.read([5, None], NOON, of=view(keys=()))] == [7, 7]
    assert reader.latest(view(keys=())).features["x"].to_pylist() == [8]


@pytest.mark.parametrize(
    ("stored", "declared", "asked"),
    [
        (pa.array([1.0]), "Int64", pa.array([1], pa.int32())),
        (pa.array(["1"]), "Int64", pa.array(["1"])),
        (pa.array([1]), "String", pa.array([1])),
        (pa.array([1], pa.int16()), "Int32", pa.array([1.0])),
        (pa.array(["a"]).dictionary_encode(), "String", pa.array(["a"]).dictionary_encode()),
        (pa.array([b"a"]), "Bytes", pa.array([b"a"])),
        (pa.array([True]), "Bool", pa.array([True])),
        (pa.array([1.5]), "Float64", pa.array([1.5])),
        (pa.array([NOON], US), "UnixTimestamp", pa.array([NOON], pa.timestamp("s"))),
        (pa.array([2**53 + 1]), "Int64", pa.array([2**53 + 1])),
    ],
)
def test_keys_meet_as_their_declared_type(reader: Reader, stored: pa.Array, declared: str, asked: pa.Array) -> None:
    reader.write({"k": stored, "at": [NOON], "created": [NOON], "x": [7]})
    of = view(keys=(JoinKey("k", declared, "k"),))
    table = pa.table({"k": asked, "t": pa.array([NOON], US)})
    got = read_view(reader.connection, of, table, instant="t", rule=LABEL, base_dir=reader.folder)
    assert got.values["v__x"].to_pylist() == [7]


def test_nan_is_a_null_key(reader: Reader) -> None:
    reader.write({"k": pa.array([float("nan"), 1.0]), "at": [NOON] * 2, "created": [NOON] * 2, "x": [7, 8]})
    assert [value for value, *_ in reader.read([float("nan"), 1.0], NOON)] == [None, 8]
    of = view(keys=(JoinKey("k", "Float64", "k"),))
    assert [value for value, *_ in reader.read([float("nan"), 1.0], NOON, of=of)] == [None, 8]


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (pa.array([1.5]), r"feature view v.*key k is 1\.5, which is not a whole number"),
        (pa.array(["a"]), r"feature view v.*Could not convert string 'a'"),
    ],
)
def test_a_key_of_the_source_that_does_not_fit_is_an_error(reader: Reader, stored: pa.Array, message: str) -> None:
    reader.write({"k": stored, "at": [NOON], "created": [NOON], "x": [7]})
    with pytest.raises(SourceError, match=message):
        reader.read([1], NOON)


@pytest.mark.parametrize("asked", [pa.array([1.5]), pa.array(["a"]), pa.array([2**63], pa.uint64())])
def test_a_key_of_a_request_that_does_not_fit_names_its_column(reader: Reader, asked: pa.Array) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    table = pa.table({"who": asked, "t": pa.array([NOON], US)})
    of = view(keys=(JoinKey("k", "Int64", "who"),))
    with pytest.raises(InputError, match=r"who: .* do not fit the join key's type Int64") as caught:
        read_view(reader.connection, of, table, instant="t", rule=LABEL, base_dir=reader.folder)
    assert caught.value.field == "who"


def test_a_list_cannot_be_a_key(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    with pytest.raises((SourceError, InputError), match=r"k.*Array\(Int64\)"):
        reader.read([1], NOON, of=view(keys=(JoinKey("k", "Array(Int64)", "k"),)))


# Types ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "declared", "expected"),
    [
        (pa.array([2**53 + 1, None]), "Int64", [2**53 + 1, None]),
        (pa.array([0.1, float("nan")]), "Float64", [0.1, None]),
        (pa.array([0.1]), "Float32", [0.10000000149011612]),
        (pa.array([1e39]), "Float32", [float("inf")]),
        (pa.array([2**53 + 1]), "Float64", [float(2**53)]),
        (pa.array([3.0, float("nan")]), "Int64", [3, None]),
        (pa.array([1, 0]), "Bool", [True, False]),
        (pa.array(["12"]), "Int32", [12]),
        (pa.array([12]), "String", ["12"]),
        (pa.array(["a", None]).dictionary_encode(), "String", ["a", None]),
        (pa.array(["", None]), "String", ["", None]),
        (pa.array([b"\x00"]), "Bytes", [b"\x00"]),
        (pa.array([[1, None], [], None]), "Array(Int64)", [[1, None], [], None]),
        (pa.array([[1.5]]), "Array(Float32)", [[1.5]]),
        (pa.array(["{}"]), "Json", ["{}"]),
        (pa.array([NOON + 1234567 * MICROSECOND], US), "UnixTimestamp", [NOON + timedelta(seconds=1)]),
        (pa.array([NOON], pa.timestamp("ns")), "UnixTimestamp", [NOON]),
        (pa.array([date(2024, 5, 1)]), "UnixTimestamp", [NOON - 12 * HOUR]),
        (
            pa.array([[NOON + MICROSECOND, None], None], pa.list_(US)),
            "Array(UnixTimestamp)",
            [[NOON, None], None],
        ),
    ],
)
def test_features_come_as_their_declared_type_as_the_online_store_holds_them(
    reader: Reader, stored: pa.Array, declared: str, expected: list[Any]
) -> None:
    count = len(stored)
    reader.write({"k": list(range(count)), "at": [NOON] * count, "created": [NOON] * count, "x": stored})
    of = view(features=(Field("x", declared),))
    got = read_view(
        reader.connection,
        of,
        pa.table({"k": list(range(count)), "t": pa.array([NOON] * count, US)}),
        instant="t",
        rule=LABEL,
        base_dir=reader.folder,
    )
    assert got.values["v__x"].to_pylist() == expected
    assert got.values.schema.field("v__x").type == of.features[0].arrow
    assert got.statuses["v__x"].to_pylist() == [2 if value is None else 1 for value in expected]
    assert reader.latest(of).features["x"].to_pylist() == expected


@pytest.mark.parametrize(
    ("sql", "declared", "expected"),
    [
        ("sum(1) OVER ()", "Int64", 1),
        ("1.25::DECIMAL(9,2)", "Float64", 1.25),
        ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID", "Uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("""'{"a": 1}'::JSON""", "Json", '{"a": 1}'),
        ("'a'::ENUM('a', 'b')", "String", "a"),
    ],
)
def test_types_only_sql_has_are_read_too(reader: Reader, sql: str, declared: str, expected: Any) -> None:
    query = f"SELECT 1 AS k, t AS \"at\", t AS created, {sql} AS x FROM (SELECT TIMESTAMPTZ '2024-05-01 12:00+00' AS t)"
    of = view(features=(Field("x", declared),), source=source(query=query, tables={}))
    assert reader.read([1], NOON, of=of) == [(expected, "PRESENT", NOON)]


@pytest.mark.parametrize(
    ("stored", "declared"),
    [
        (pa.array([1.5]), "Int64"),
        (pa.array([2**40]), "Int32"),
        (pa.array(["a"]), "Float64"),
        (pa.array([[1]]), "Int64"),
        (pa.array([{"a": 1}]), "String"),
    ],
)
def test_a_value_that_does_not_fit_its_declared_type_is_an_error(
    reader: Reader, stored: pa.Array, declared: str
) -> None:
    reader.write({"k": [1], "at": [NOON], "created": [NOON], "x": stored})
    of = view(features=(Field("x", declared),))
    with pytest.raises(SourceError, match=f"feature view v: feature x is .* declared type {declared}"):
        reader.read([1], NOON, of=of)
    with pytest.raises(SourceError, match=f"feature view v: feature x is .* declared type {declared}"):
        reader.latest(of)


# Sources --------------------------------------------------------------------------------------------------------------


def test_names_that_sql_or_we_ourselves_use_are_names_like_any_other(reader: Reader) -> None:
    nasty = ["select", "order by", 'quo"ted', "rowid", "row", "x_x", "x_y", "e", "c", "f0", "trueup", "__row", "; DROP"]
    table = {name: [i] for i, name in enumerate(nasty)}
    reader.write({"from": [1], "where": [NOON], "group": [NOON]} | table)
    of = view(
        keys=(JoinKey("from", "Int64", "k"),),
        features=tuple(Field(name, "Int64") for name in nasty),
        source=source(timestamp_field="where", created_column="group"),
    )
    got = read_view(
        reader.connection,
        of,
        pa.table({"k": [1], "t": pa.array([NOON], US)}),
        instant="t",
        rule=LABEL,
        base_dir=reader.folder,
    )
    assert got.values.to_pylist() == [{f"v__{name}": i for i, name in enumerate(nasty)}]


def test_a_sources_columns_are_not_taken_for_ours_of_the_same_name(reader: Reader) -> None:
    """Inside, `k0` is the key, `e` the event time, `c` the created time, `f0` the feature."""
    reader.write({"c": [1], "f0": [NOON], "e": [NOON + HOUR], "k0": [7]})
    of = view(
        keys=(JoinKey("c", "Int64", "k"),),
        features=(Field("k0", "Int64"),),
        source=source(timestamp_field="f0", created_column="e"),
    )
    assert reader.read([1], NOON, of=of) == [(None, "MISSING", None)]
    assert reader.read([1], NOON + HOUR, of=of) == [(7, "PRESENT", NOON)]
    assert reader.latest(of, start=NOON, end=NOON).num_rows == 1


def test_a_mapped_column_is_read_under_its_name_in_the_view(reader: Reader) -> None:
    reader.write({"key_raw": [1], "at": [NOON], "created": [NOON], "raw": [7], "x": [8]})
    of = view(source=source(field_mapping={"raw": "x", "key_raw": "k"}))
    assert reader.read([1], NOON, of=of) == [(7, "PRESENT", NOON)]


def test_one_column_may_be_key_clock_and_feature_at_once(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    of = view(features=(Field("k", "Int64"), Field("at", "UnixTimestamp")))
    assert reader.read([1], NOON, of=of)[0][0] == 1


def test_a_query_may_end_in_a_comment_or_a_semicolon(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    for query in ("SELECT * FROM r -- all", "SELECT * FROM r;\n", "WITH a AS (FROM r) SELECT * FROM a"):
        of = view(source=source(query=query, tables={"r": "rows.parquet"}))
        assert reader.read([1], NOON, of=of)[0][0] == 7


def test_views_of_one_connection_do_not_see_each_others_tables(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)), "a.parquet")
    reader.write(rows((1, NOON, NOON, 8)), "b.parquet")
    for name, expected in (("a", 7), ("b", 8), ("a", 7)):
        of = view(source=source(query="FROM r", tables={"r": f"{name}.parquet"}))
        assert reader.read([1], NOON, of=of)[0][0] == expected


def test_a_directory_is_read_whole_with_its_partitions_as_columns(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7)), "parts/day=1/a.parquet")
    reader.write(rows((2, NOON, NOON, 8)), "parts/day=2/b.parquet")
    of = view(source=source(tables={"source": "parts"}), features=(Field("day", "Int64"),))
    assert [value for value, *_ in reader.read([1, 2], NOON, of=of)] == [1, 2]


def test_a_read_leaves_nothing_in_the_connection(reader: Reader) -> None:
    reader.write(rows((1, NOON, NOON, 7), (1, NOON, NOON, 8)))
    with pytest.raises(SourceError):
        reader.read([1], NOON)
    reader.write(rows((1, NOON, NOON, 7)))
    reader.read([1], NOON)
    tables = "SELECT table_schema FROM information_schema.tables WHERE table_schema = 'trueup'"
    assert reader.connection.execute(tables).fetchall() == []


def test_a_table_is_never_a_variable_of_the_program_that_has_its_name(reader: Reader) -> None:
    table = pa.table(rows((1, NOON, NOON, 7)))
    assert table.num_rows == 1
    with pytest.raises(SourceError, match="table"):
        reader.read([1], NOON, of=view(source=source(query='FROM "table"', tables={})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tables": {"source": "absent.parquet"}}, r"feature view v: table .* cannot be read from .*absent\.parquet"),
        ({"query": "SELEC", "tables": {}}, r"feature view v: its query fails: .*SELEC"),
        ({"query": "FROM nowhere", "tables": {}}, r"feature view v: its query fails: .*nowhere"),
        (
            {"query": "SELECT * REPLACE (error('broken row') AS x) FROM r", "tables": {"r": "rows.parquet"}},
            r"feature view v: its source cannot be read: .*broken row",
        ),
        ({"timestamp_field": "when"}, r"feature view v: its source has no column 'when'; it has k, at, created, x"),
        ({"created_column": "known"}, r"feature view v: its source has no column 'known'"),
        ({"timestamp_field": "x"}, r"feature view v: column 'x' of its source is BIGINT, expected a TIMESTAMP"),
        ({"field_mapping": {"raw": "x"}}, r"feature view v: its source has no column 'raw'"),
    ],
)
def test_a_source_that_cannot_be_read_names_view_and_reason(
    reader: Reader, changes: dict[str, Any], message: str
) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    of = view(source=source(**changes))
    with pytest.raises(SourceError, match=message):
        reader.read([1], NOON, of=of)
    with pytest.raises(SourceError, match=message):
        reader.latest(of)


def test_a_broken_file_is_a_source_error(reader: Reader) -> None:
    (reader.folder / "rows.parquet").write_bytes(b"PAR1 is not all it takes")
    with pytest.raises(SourceError, match=r"rows\.parquet"):
        reader.read([1], NOON)


def test_an_alias_is_named_beside_its_view(reader: Reader) -> None:
    with pytest.raises(SourceError, match=r"feature view v \(as origin\)"):
        reader.read([1], NOON, of=view(name="origin"))


@pytest.mark.parametrize(
    ("table", "field", "message"),
    [
        (pa.table({"t": pa.array([NOON], US)}), "k", r"feature view v needs column 'k'; the rows have t"),
        (pa.table({"k": [1]}), "t", r"feature view v needs column 't'"),
        (pa.table({"k": [1, 2], "t": pa.array([NOON, None], US)}), "t", r"t: row 1 is null"),
        (pa.table({"k": [1], "t": ["noon"]}), "t", r"t: string is not a timestamp"),
        (pa.table([[1], [2], pa.array([NOON], US)], names=["k", "k", "t"]), "k", r"'k' stands in the rows more than"),
    ],
)
def test_requests_that_cannot_be_read_name_the_column(
    reader: Reader, table: pa.Table, field: str, message: str
) -> None:
    reader.write(rows((1, NOON, NOON, 7)))
    with pytest.raises(InputError, match=message) as caught:
        read_view(reader.connection, view(), table, instant="t", rule=LABEL, base_dir=reader.folder)
    assert caught.value.field == field


def test_no_requests_give_no_rows_of_the_declared_types(reader: Reader) -> None:
    table = pa.table({"k": pa.array([], pa.int64()), "t": pa.array([], US)})
    got = read_view(reader.connection, view(), table, instant="t", rule=LABEL, base_dir=reader.folder)
    assert got.values.schema == pa.schema([("v__x", pa.int64())])
    assert (got.statuses.num_rows, len(got.event_timestamps)) == (0, 0)


def test_the_number_of_threads_changes_nothing(reader: Reader) -> None:
    count = 20_000
    reader.write(
        {
            "k": [i % 97 for i in range(count)],
            "at": [NOON + (i % 1000) * HOUR for i in range(count)],
            "created": [NOON + (i % 1000) * HOUR + i * MICROSECOND for i in range(count)],
            "x": list(range(count)),
        }
    )
    asked = pa.table(
        {
            "k": [i % 101 for i in range(5000)],
            "t": pa.array([NOON + (i % 1100) * HOUR for i in range(5000)], US),
        }
    )
    results = []
    for threads in (1, 4):
        reader.connection.execute(f"SET threads = {threads}")
        got = read_view(reader.connection, view(), asked, instant="t", rule=LABEL, base_dir=reader.folder)
        results.append((got.values, got.statuses, got.event_timestamps, reader.latest().features))
    assert results[0] == results[1]
