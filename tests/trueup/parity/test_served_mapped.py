"""A repository's own log columns, mapped by a small TOML file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.trueup.parity.log_repo import START, LogRepo, log_repo, rows
from tests.trueup.parity.stock_log import changed

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:feast", "ignore::FutureWarning"
)

MAP = """
service = "all_of_it"
request_id = "req"
prediction = "score"
null_values = [-1, "NA"]

[timestamp]
column = "ts"
unit = "ms"

[keys]
driver_id = "who"

[features]
"driver:rate" = "rate"
"driver:narrow" = "thin"
"wait:wait" = "wait"

[statuses]
"driver:rate" = "rate_status"

[event_times]
driver = "fresh"

[constants]
limit = 5.0
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LogRepo:
    return log_repo(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def repo(made: LogRepo, tmp_path: Path) -> LogRepo:
    (tmp_path / "log").mkdir()
    return LogRepo(made.path, tmp_path / "log")


def own_columns() -> pa.Table:
    table = rows(1, 2, 9)
    return pa.table(
        {
            "req": table["__request_id"],
            "ts": pc.divide(table["__log_timestamp"].cast(pa.int64()), 1000),
            "who": table["driver_id"],
            "rate": pc.fill_null(table["driver__rate"], -1.0),
            "rate_status": ["present", "PRESENT", "not_found"],
            "thin": pa.array([0.1, 0.2, None], pa.float32()),
            "wait": [4.9, 4.8, None],
            "fresh": table["driver__rate__timestamp"],
            "score": [0.1, 0.2, 0.3],
        }
    )


def check(repo: LogRepo, table: pa.Table, text: str = MAP) -> tuple[int, object]:
    repo.write(table)
    path = repo.log.parent / "map.toml"
    path.write_text(text, encoding="utf-8")
    ran = repo.check("--map", path)
    return ran.code, ran.result if ran.report is not None else ran.text


def test_a_mapped_log_is_compared_value_status_and_event_time(repo: LogRepo) -> None:
    code, result = check(repo, own_columns())
    assert (code, result.subject, result.rows, result.compared) == (0, "all_of_it", 3, 9)  # type: ignore[attr-defined]
    assert result.notes == {}  # type: ignore[attr-defined]
    code, result = check(repo, changed(own_columns(), "thin", lambda value: value * 2))
    assert (code, result.failing) == (1, ("driver__narrow",))  # type: ignore[attr-defined]


def test_a_row_that_the_log_calls_a_fallback_is_serving_fallback(repo: LogRepo) -> None:
    table = own_columns()
    lost = pa.table(
        {
            **{name: table[name] for name in table.column_names},
            "rate": pa.array([-1.0, -1.0, -1.0]),
            "rate_status": ["not_found"] * 3,
            "thin": pa.nulls(3, pa.float32()),
            "wait": pa.nulls(3, pa.float64()),
            "fresh": pa.nulls(3, table["fresh"].type),
            "degraded": [True, False, None],
        }
    )
    code, result = check(repo, lost, MAP.replace("prediction =", 'fallback = "degraded"\nprediction ='))
    assert code == 1
    for feature in ("driver__rate", "driver__narrow"):
        assert result.features[feature].by_cause == {"serving_fallback": 1, "missing_online": 1}  # type: ignore[attr-defined]


def test_a_time_zone_places_naive_instants_and_what_it_shows_twice_is_none(repo: LogRepo) -> None:
    table = own_columns()
    local = pa.array(["2013-11-01 10:00:00", "2013-11-03 01:30:00", "2013-11-01T14:05:00Z"])
    text = MAP.replace('unit = "ms"', 'time_zone = "America/New_York"')
    code, result = check(repo, table.set_column(1, "ts", local), text)
    assert (code, result.rows, result.uncompared) == (0, 2, {"no instant": 1})  # type: ignore[attr-defined]
    assert result.timeline[0].start == START  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("who", "whom"), r"keys.driver_id = 'whom': the log has no such column; it has req, ts, who"),
        (
            ("driver_id =", "pilot_id ="),
            r"keys.pilot_id: feature service all_of_it has no such name; it has driver_id.",
        ),
        (
            ('"driver:rate" = "rate"', '"driver:speed" = "rate"'),
            r"features.driver:speed: feature service all_of_it has",
        ),
        (('unit = "ms"', 'unit = "minutes"'), r"timestamp.unit = 'minutes': Input should be 's', 'ms', 'us' or 'ns'"),
        (('unit = "ms"', ""), r"nothing says what they count. Name the unit (s, ms, us or ns since 1970)"),
        (('unit = "ms"', 'time_zone = "Mars/Base"'), "timestamp.time_zone: there is no time zone 'Mars/Base'"),
        (("request_id", "request"), r"request = 'req': Input should be a valid dictionary"),
        (("prediction", "predicted"), r"predicted = 'score': Extra inputs are not permitted."),
        (("limit", "driver_id"), "constants.driver_id and keys.driver_id both give driver_id"),
        (("[keys]", "[keys"), r"map.toml is not TOML"),
    ],
)
def test_what_is_wrong_with_a_map_is_said_with_its_place(repo: LogRepo, change: tuple[str, str], message: str) -> None:
    code, text = check(repo, own_columns(), MAP.replace(*change))
    assert code == 2
    assert message in (text if isinstance(text, str) else str(text.problem))  # type: ignore[attr-defined]


def test_a_log_that_names_models_needs_their_cards(repo: LogRepo) -> None:
    table = own_columns().append_column("m", pa.array(["one", "one", None])).append_column("v", pa.array(["3"] * 3))
    repo.write(table)
    path = repo.log.parent / "map.toml"
    path.write_text(MAP + '[model]\nname = "m"\nversion = "v"\n', encoding="utf-8")
    ran = repo.check("--map", path, "--tracking-uri", f"sqlite:///{repo.log.parent}/mlflow.db")
    assert ran.report is not None
    assert (ran.code, [(r.label, r.verdict) for r in ran.report.cells]) == (
        2,
        [("all_of_it@3", "pass"), ("one@3", "could not run")],
    )
