"""Served rows for the tests of the event log: a contract with every kind of column, and requests under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, Field, JoinKey, OnDemand, Source, View
from trueup.eventlog.records import Role, Scores, ServedRows, input_fields
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status

NOON = datetime(2013, 11, 1, 12, 0, 0, 123_456, tzinfo=UTC)

PLANE = View(
    name="plane",
    table="plane",
    keys=(JoinKey("tailnum", "String", "tailnum"),),
    features=(
        Field("seats", "Int64"),
        Field("speed", "Float32"),
        Field("name", "String"),
        Field("built", "UnixTimestamp"),
    ),
    ttl=timedelta(hours=1),
    source=Source("FileSource", "event_timestamp", "created", None, {"source": "data/plane.parquet"}, {}),
)
ROUTE = View(
    name="route",
    table="route_history",
    keys=(JoinKey("airport", "String", "dest"), JoinKey("line", "Int64", "line")),
    features=(Field("delays", "Array(Float64)"), Field("closed", "Bool")),
    ttl=None,
    source=Source("FileSource", "event_timestamp", None, None, {"source": "data/route.parquet"}, {}),
)
TIMES = OnDemand(
    name="times",
    mode="python",
    inputs=(("plane", "seats"),),
    request=(Field("sched", "Int64"),),
    outputs=(Field("hour", "Float64"),),
    code='def times(inputs):\n    return {"hour": [float(value % 24) for value in inputs["sched"]]}\n',
)


def contract(service: str = "flights", *, ttl: timedelta = timedelta(hours=1)) -> FeatureContract:
    return FeatureContract(
        project="test",
        service=service,
        features=(
            ("route", "closed"),
            ("route", "delays"),
            ("times", "hour"),
            ("plane", "speed"),
            ("plane", "seats"),
            ("plane", "name"),
            ("plane", "built"),
        ),
        views=(ROUTE, replace(PLANE, ttl=ttl)),
        on_demand=(TIMES,),
    )


FLIGHTS = contract()

_FEATURES: dict[str, Any] = {
    "route__closed": True,
    "route__delays": [1.5, None],
    "times__hour": 7.0,
    "plane__speed": 0.1,
    "plane__seats": 2**53 + 1,
    "plane__name": "Spirit of Saint Louis",
    "plane__built": datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC),
}


def frame(rows: int, under: FeatureContract = FLIGHTS, **features: Any) -> FeatureFrame:
    """`rows` rows of the same features; `features` replace some, None makes one null."""
    values = {**_FEATURES, **features}
    status = {name: Status.PRESENT if values[name] is not None else Status.NULL for name in under.columns}
    when = {"route": NOON - timedelta(days=3), "plane": datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)}
    return FeatureFrame(
        values=pa.table(
            [pa.array([values[item.name]] * rows, item.type) for item in under.schema], schema=under.schema
        ),
        statuses=pa.table({name: pa.array([int(status[name])] * rows, STATUS) for name in under.columns}),
        event_timestamps=pa.table({view.name: pa.array([when[view.name]] * rows, EVENT_TIME) for view in under.views}),
    )


def served(
    request_id: str = "r-1",
    *,
    rows: int = 1,
    instant: datetime = NOON,
    models: Sequence[str] = ("flights", "flights_leaky"),
    under: FeatureContract = FLIGHTS,
    read: FeatureFrame | None = None,
) -> ServedRows:
    """A request of `rows` rows, scored by every model; the first one answers, the others are shadows."""
    given = {"tailnum": "N1", "dest": "BOS", "line": 7, "sched": 31}
    fields = input_fields(under)
    roles: list[Role] = ["answer", *["shadow"] * (len(models) - 1)]  # type: ignore[list-item]
    return ServedRows(
        contract=under,
        request_id=request_id,
        instant=instant,
        experiment="ab",
        inputs=pa.table({item.name: pa.array([given[item.name]] * rows, item.arrow) for item in fields}),
        frame=read if read is not None else frame(rows, under),
        rows=tuple(range(rows)),
        units=tuple(f"{request_id}-{row}" for row in range(rows)),
        variants=(models[0],) * rows,
        scores=tuple(
            Scores(model, "3", tuple(range(rows)), (role,) * rows, np.full(rows, 0.25 * (number + 1)))
            for number, (model, role) in enumerate(zip(models, roles, strict=True))
        ),
    )
