"""A small stock Feast repository with logs made by hand, for what can be wrong with a log.

One view, `driver` (TTL one day, `wait` an on-demand view on it), in three services: `rates`, `all_of_it` (with `wait`)
and `bare` (a part of `rates`). Drivers 1 to 4 have a row at noon of START's day; the value of a driver n is n / 10.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64, String
from tests.trueup.parity.stock import quiet
from typer.testing import CliRunner

from trueup.cli import app
from trueup.errors import TrueupError
from trueup.parity.report import Report
from trueup.parity.results import Result

NOON = datetime(2013, 11, 1, 12, tzinfo=UTC)
EVENT = NOON + timedelta(milliseconds=250)
"""Event time of every row of the source; Feast's log keeps whole seconds of it."""
START = NOON + timedelta(hours=2)
"""Instant of the first request; the others follow a minute apart."""
DRIVERS = (1, 2, 3, 4)
TIMES = pa.timestamp("us", tz="UTC")
SECONDS = pa.timestamp("s", tz="UTC")
VALUES: dict[str, tuple[pa.DataType, Callable[[int], Any]]] = {
    "driver__rate": (pa.float64(), lambda n: n / 10),
    "driver__trips": (pa.int64(), lambda n: 100 + n),
    "driver__name": (pa.string(), lambda n: f"d{n}"),
}


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, what it printed or the error that `trueup` prints, and its report, if any."""

    code: int
    text: str
    report: Report | None = None

    @property
    def result(self) -> Result:
        assert self.report is not None, self.text
        (result,) = self.report.cells
        return result


def trueup(*arguments: object, json: bool = True) -> Ran:
    """`trueup` in this process. An exception that is not for a person is one here too."""
    command = [str(argument) for argument in arguments] + (["--json"] if json else [])
    with quiet():
        ran = CliRunner().invoke(app, command)
    if isinstance(ran.exception, TrueupError):
        return Ran(2, str(ran.exception))
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    found = ran.stdout.find("{")
    report = Report.from_json(__import__("json").loads(ran.stdout[found:])) if json and found >= 0 else None
    return Ran(ran.exit_code, ran.output, report)


@dataclass
class LogRepo:
    path: Path
    log: Path

    def check(self, *options: object, log: Path | str | None = None, json: bool = True) -> Ran:
        return trueup("parity", "served", "--repo", self.path, "--log", log or self.log, *options, json=json)

    def write(self, table: pa.Table, name: str = "a.parquet") -> Path:
        path = self.log / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, write_statistics=False)
        return path


def log_repo(folder: Path) -> LogRepo:
    path = folder / "repo"
    (path / "data").mkdir(parents=True)
    (path / "feature_store.yaml").write_text(
        "project: logs\nprovider: local\nregistry: data/registry.db\nentity_key_serialization_version: 3\n"
        "offline_store: {type: file}\nonline_store: {type: sqlite, path: data/online.db}\n",
        encoding="utf-8",
    )
    rows = {
        "driver_id": pa.array(DRIVERS, pa.int64()),
        **{
            name.removeprefix("driver__"): pa.array([make(n) for n in DRIVERS], t) for name, (t, make) in VALUES.items()
        },
        "narrow": pa.array([n / 10 for n in DRIVERS], pa.float32()),
        "event_timestamp": pa.array([EVENT] * 4, TIMES),
        "created": pa.array([EVENT] * 4, TIMES),
    }
    pq.write_table(pa.table(rows), path / "data" / "drivers.parquet", write_statistics=False)
    driver = Entity(name="driver_entity", join_keys=["driver_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="driver",
        entities=[driver],
        ttl=timedelta(days=1),
        schema=[
            Field(name="driver_id", dtype=Int64),
            Field(name="rate", dtype=Float64),
            Field(name="trips", dtype=Int64),
            Field(name="name", dtype=String),
            Field(name="narrow", dtype=Float32),
        ],
        source=FileSource(
            name="drivers",
            path="data/drivers.parquet",
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
    )
    request = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])

    @on_demand_feature_view(sources=[view, request], schema=[Field(name="wait", dtype=Float64)], mode="pandas")
    def wait(inputs: pd.DataFrame) -> pd.DataFrame:
        out = pd.DataFrame()
        out["wait"] = inputs["limit"] - inputs["rate"]
        return out

    with quiet(), chdir(path):
        FeatureStore(repo_path=str(path)).apply(
            [
                driver,
                view,
                wait,
                FeatureService(name="rates", features=[view[["rate", "trips", "name"]]]),
                FeatureService(name="bare", features=[view[["rate"]]]),
                FeatureService(name="all_of_it", features=[view[["rate", "narrow"]], wait]),
            ]
        )
    log = folder / "log"
    log.mkdir()
    return LogRepo(path, log)


def rows(*drivers: int | None, start: datetime = START, request: str = "r") -> pa.Table:
    """A clean log of service `rates` in Feast's schema: one request of one row each; 1 to 4 by default."""
    drivers = drivers or DRIVERS
    known = [driver in DRIVERS for driver in drivers]
    at = [start + timedelta(minutes=row) for row in range(len(drivers))]
    columns: dict[str, pa.Array] = {"driver_id": pa.array(drivers, pa.int64())}
    for name, (kind, make) in VALUES.items():
        values = [
            make(driver) if there and driver is not None else None for driver, there in zip(drivers, known, strict=True)
        ]
        columns[name] = pa.array(values, kind)
        columns[f"{name}__timestamp"] = pa.array(
            [NOON if there else datetime.fromtimestamp(0, UTC) for there in known], SECONDS
        )
        columns[f"{name}__status"] = pa.array([1 if there else 3 for there in known], pa.int32())
    columns["__log_timestamp"] = pa.array(at, TIMES)
    columns["__log_date"] = pa.array([instant.date() for instant in at], pa.date32())
    columns["__request_id"] = pa.array([f"{request}{row}" for row in range(len(drivers))], pa.string())
    return pa.table(columns)
