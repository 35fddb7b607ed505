"""What a request gets, and what the log keeps of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.serving.conftest import AB, Live, Serve
from tests.serving.world import NOON, PLANES, World, entity

from trueup.eventlog.layout import log_directory
from trueup.eventlog.reader import read_serving
from trueup.experiments.assign import assign_among
from trueup.features.online import OnlineReader
from trueup.frame import Status
from trueup.instants import parse_instant
from trueup.stores.redis_connection import connect
from trueup_serving.schemas import FeaturesResponse, PredictResponse
from trueup_serving.verdict_check import NO_KEY

ROWS = [
    entity(0),
    entity(1, tailnum="EDGE", dest="SFO", origin="EWR"),
    entity(2, tailnum="STALE"),
    entity(3, tailnum="NULLS", sched=None),
    entity(4, tailnum="unknown", dest="nowhere"),
    entity(5, tailnum=None, price=None),
    entity(6, tailnum="naïve ✈", price=-3),
]


def _expected(world: World, model: str, rows: list[dict[str, Any]]) -> list[float]:
    """What the registered model says of what the reader reads: the library, without the server."""
    online: Any = world.store.config.online_store
    contract = world.tracking.load_card(model, "champion").contract
    reader = OnlineReader(contract, client=connect(online.connection_string))
    # A float32 request field is read and logged as float32, whatever JSON brought.
    exact = [{**row, "price": None if row["price"] is None else float(np.float32(row["price"]))} for row in rows]
    return world.tracking.load_bundle(model, "champion").predict(reader.read(exact, NOON)).tolist()


def test_an_answer_is_the_assigned_models_prediction_to_the_last_bit(server: Live, world: World) -> None:
    answered = PredictResponse.model_validate(server.predict(ROWS).json(), strict=True)
    expected = {model: _expected(world, model, ROWS) for model in ("honest", "leaky")}
    assert [(item.row, item.prediction) for item in answered.predictions] == [
        (row, expected[item.variant][row]) for row, item in enumerate(answered.predictions)
    ]
    assert {item.variant for item in answered.predictions} == {"honest", "leaky"}
    assert {(item.variant, item.model, item.model_version) for item in answered.predictions} == {
        ("honest", "honest", "1"),
        ("leaky", "leaky", "1"),
    }


def test_an_answer_does_not_depend_on_its_batch_mates(server: Live) -> None:
    together = server.predict(ROWS).json()["predictions"]
    alone = [server.predict([row]).json()["predictions"][0] for row in ROWS]
    backwards = server.predict(ROWS[::-1]).json()["predictions"][::-1]
    for one, other, third in zip(together, alone, backwards, strict=True):
        assert one["prediction"] == other["prediction"] == third["prediction"]
        assert one["variant"] == other["variant"] == third["variant"]


def test_the_variant_is_the_units_whatever_else_the_row_says(server: Live) -> None:
    design = server.service.design
    units = [f"unit {number}" for number in range(40)] + [7, -(2**63)]
    answered = server.predict([entity(flight=unit, tailnum=None) for unit in units]).json()["predictions"]
    assert [item["variant"] for item in answered] == [assign_among(design, str(unit)).variant.name for unit in units]


def test_the_caller_names_its_request_or_gets_a_name_for_it(server: Live) -> None:
    named = server.predict([entity()], request_id="UA1545-EWR/20131101T1015Z")
    assert named.json()["request_id"] == named.headers["X-Request-Id"] == "UA1545-EWR/20131101T1015Z"
    made = [server.predict([entity()]) for _ in range(2)]
    assert len({response.json()["request_id"] for response in made}) == 2
    assert all(response.json()["request_id"] == response.headers["X-Request-Id"] for response in made)


def test_features_come_with_their_statuses_and_event_times(server: Live) -> None:
    response = FeaturesResponse.model_validate(server.features(ROWS, request_id="f").json(), strict=True)
    statuses = [
        {
            name.partition("__")[0]: value.status
            for name, value in row.features.items()
            if name.endswith(("maker", "flights"))
        }
        for row in response.rows
    ]
    assert statuses == [
        {"plane": "PRESENT", "route": "PRESENT"},
        {"plane": "PRESENT", "route": "PRESENT"},  # exactly as old as the TTL
        {"plane": "EXPIRED", "route": "PRESENT"},  # a microsecond older
        {"plane": "NULL", "route": "PRESENT"},
        {"plane": "MISSING", "route": "MISSING"},
        {"plane": "MISSING", "route": "PRESENT"},
        {"plane": "PRESENT", "route": "PRESENT"},
    ]
    fresh, edge = response.rows[0].features, response.rows[1].features
    assert fresh["plane__speed"].value == 0.1
    assert edge["plane__seats"].value == 2**53 - 1
    assert fresh["plane__speed"].event_time == "2013-11-01T11:55:00Z"
    assert fresh["clock__hour"].value == 12
    assert fresh["clock__hour"].event_time is None
    assert response.rows[2].features["plane__speed"].value is None
    assert response.rows[2].features["plane__speed"].event_time == "2013-11-01T10:59:59.999999Z"
    assert response.rows[3].features["clock__hour"].status == "NULL"
    assert response.rows[4].features["plane__speed"].event_time is None


def test_features_are_those_of_the_variant_asked_for(serve: Serve, world: World) -> None:
    live = serve((("both", "honest", 1), ("small", "small", 1)))
    for variant, contract in (("both", world.contracts["both_v1"]), ("small", world.contracts["small_v1"])):
        rows = live.features([entity(number) for number in range(4)], variant=variant).json()["rows"]
        assert [row["variant"] for row in rows] == [variant] * 4
        assert {row["contract_hash"] for row in rows} == {contract.hash}
        assert {tuple(row["features"]) for row in rows} == {contract.columns}
    assigned = live.features([entity(number) for number in range(20)]).json()["rows"]
    assert [row["variant"] for row in assigned] == [
        assign_among(live.service.design, f"f-{number}").variant.name for number in range(20)
    ]


def test_the_log_says_what_the_answer_said(serve: Serve, world: World) -> None:
    live = serve()
    answered = live.predict(ROWS, request_id="r").json()["predictions"]
    read = live.features(ROWS).json()["rows"]
    contract = world.contracts["both_v1"]
    rows = live.logged(contract)
    assert len(rows) == 2 * len(ROWS)
    for row in rows:
        number = row["__row"]
        answer = answered[number]
        assert (row["__request_id"], row["__log_timestamp"], row["__experiment"]) == ("r", NOON, "ab")
        assert (row["__unit"], row["__variant"]) == (f"f-{number}", answer["variant"])
        assert row["__contract_hash"] == contract.hash
        assert (row["__role"] == "answer") == (row["__model"] == answer["model"])
        assert row["__prediction"] == _expected(world, row["__model"], [ROWS[number]])[0]
        if row["__role"] == "answer":
            assert row["__prediction"] == answer["prediction"]
        for name, feature in read[number]["features"].items():
            assert row[name] == feature["value"]
            assert Status(row[f"{name}__status"]).name == feature["status"]
            if not name.startswith("clock"):
                exact = row[f"__event_timestamp__{name.partition('__')[0]}"]
                assert exact == (parse_instant(feature["event_time"]) if feature["event_time"] else None)
        for name in ("tailnum", "origin", "dest", "sched"):
            assert row[name] == ROWS[number][name]
    assert {row["__role"] for row in rows} == {"answer", "shadow"}


def test_without_shadows_each_row_is_scored_by_its_own_model_alone(serve: Serve, world: World) -> None:
    live = serve(shadow=False)
    answered = live.predict([entity(number) for number in range(30)]).json()["predictions"]
    rows = live.logged(world.contracts["both_v1"])
    assert [(row["__row"], row["__model"], row["__role"], row["__prediction"]) for row in rows] == [
        (item["row"], item["model"], "answer", item["prediction"]) for item in answered
    ]
    assert {item["model"] for item in answered} == {"honest", "leaky"}


@pytest.mark.parametrize("shadow", [True, False])
def test_models_of_two_contracts_are_logged_apart_each_under_its_own(serve: Serve, world: World, shadow: bool) -> None:
    live = serve((("both", "honest", 1), ("small", "small", 1)), shadow=shadow)
    answered = live.predict([entity(number) for number in range(12)]).json()["predictions"]
    for variant, model, service in (("both", "honest", "both_v1"), ("small", "small", "small_v1")):
        rows = live.logged(world.contracts[service])
        mine = [item["row"] for item in answered if item["variant"] == variant]
        assert {row["__model"] for row in rows} == {model}
        assert [row["__row"] for row in rows if row["__role"] == "answer"] == mine
        assert [row["__row"] for row in rows] == (list(range(12)) if shadow else mine)
        for row in rows:
            assert row["__variant"] == answered[row["__row"]]["variant"]


def test_two_variants_of_one_model_are_scored_once(serve: Serve, world: World) -> None:
    live = serve((("a", "honest", 1), ("b", "honest", 1)))
    answered = live.predict([entity(number) for number in range(10)]).json()["predictions"]
    assert {item["variant"] for item in answered} == {"a", "b"}
    rows = live.logged(world.contracts["both_v1"])
    assert [(row["__row"], row["__role"]) for row in rows] == [(number, "answer") for number in range(10)]


def test_a_variant_of_weight_zero_is_only_watched(serve: Serve, world: World) -> None:
    live = serve((("now", "honest", 1), ("next", "leaky", 0)))
    answered = live.predict([entity(number) for number in range(10)]).json()["predictions"]
    assert {item["variant"] for item in answered} == {"now"}
    rows = live.logged(world.contracts["both_v1"])
    assert {(row["__model"], row["__role"]) for row in rows} == {("honest", "answer"), ("leaky", "shadow")}


def test_a_repeated_request_id_does_not_break_the_log(serve: Serve, world: World) -> None:
    live = serve()
    for _ in range(3):
        live.predict([entity(0)], request_id="again").raise_for_status()
    assert [row["__request_id"] for row in live.logged(world.contracts["both_v1"])] == ["again"] * 6


def test_a_request_field_is_logged_as_it_was_used(serve: Serve, world: World) -> None:
    """0.1 is not a float32: what the on-demand view saw and what the log says must be the same number."""
    live = serve()
    live.predict([entity(price=0.1)])
    row = live.logged(world.contracts["both_v1"])[0]
    assert row["price"] == row["clock__cost"] == float(np.float32(0.1))


def test_the_header_moves_the_instant_of_the_read(server: Live) -> None:
    later = {"X-Trueup-Now": "2013-11-01T08:00:00.000001-04:00"}
    body = {"entities": [entity(tailnum="EDGE")]}
    response = server.http.post("/v1/features", json=body, headers=later).json()
    assert response["as_of"] == "2013-11-01T12:00:00.000001Z"
    assert response["rows"][0]["features"]["plane__speed"]["status"] == "EXPIRED"
    assert (
        server.features([entity(tailnum="EDGE")]).json()["rows"][0]["features"]["plane__speed"]["status"] == "PRESENT"
    )


def test_by_the_wall_clock_the_features_of_2013_have_expired(serve: Serve, world: World) -> None:
    live = serve(clock="wall", headers={})
    before = datetime.now(UTC)
    response = live.predict([entity()]).json()
    rows = live.logged(world.contracts["both_v1"])
    assert before <= parse_instant(response["as_of"]) == rows[0]["__log_timestamp"] <= datetime.now(UTC)
    assert rows[0]["plane__speed__status"] == Status.EXPIRED
    assert rows[0]["route__flights__status"] == Status.PRESENT


def test_a_stop_writes_every_row_that_was_answered(world: World, serve: Serve) -> None:
    live = serve(log={"batch_rows": 100_000, "batch_seconds": 3600.0})
    for number in range(20):
        live.predict([entity(number)], request_id=f"r-{number}").raise_for_status()
    assert live.service.log.state.written == 0
    live.service.log.close()  # what the app does when it is told to stop
    assert {row["__request_id"] for row in live.logged(world.contracts["both_v1"])} == {f"r-{n}" for n in range(20)}


def test_everything_that_was_served_can_be_counted(serve: Serve) -> None:
    live = serve()
    live.predict([entity(number) for number in range(10)])
    live.predict([{}])
    live.http.get("/nothing")
    live.http.get(f"/{NOON.isoformat()}")
    live.service.log.flush()
    answered = {name: live.metric("trueup_assignments_total", experiment="ab", variant=name) for name, *_ in AB}
    assert sum(answered.values()) == 10
    assert live.metric("trueup_requests_total", route="/v1/predict", code="200") == 1
    assert live.metric("trueup_requests_total", route="/v1/predict", code="422") == 1
    assert live.metric("trueup_requests_total", route="other", code="404") == 2
    assert live.metric("trueup_request_seconds_count", route="/v1/predict") == 2
    assert live.metric("trueup_log_rows_total", outcome="written") == 20
    assert live.metric("trueup_log_rows_total", outcome="dropped") == 0
    assert live.metric("trueup_log_queue_rows") == 0
    contract_hash = live.service.models["honest"].contract.hash
    labels = {"variant": "honest", "model": "honest", "version": "1", "alias": "champion"}
    assert live.metric("trueup_model_info", **labels, contract_hash=contract_hash) == 1


def test_the_settings_that_decide_answers_have_a_hash_that_rows_readyz_and_metrics_name(
    serve: Serve, world: World
) -> None:
    live = serve(online_timeout_seconds=1.5, limits={"concurrency": 3})
    live.predict([entity()])
    contract = world.contracts["both_v1"]
    said = live.http.get("/readyz").json()["serving"]
    assert said["settings"]["online_timeout_seconds"] == 1.5
    assert (said["settings"]["concurrency"], said["settings"]["workers"], said["settings"]["fallback"]) == (
        3,
        1,
        "refuse",
    )
    assert {row["__serving_version"] for row in live.logged(contract)} == {said["version"]}
    assert read_serving(log_directory(live.service.log.root, contract), said["version"]) == said["settings"]
    ((labels, value),) = live.samples("trueup_serving_info")
    assert (labels["version"], labels["concurrency"], labels["fallback"], value) == (said["version"], "3", "refuse", 1)


def test_readyz_says_what_is_served(server: Live, world: World) -> None:
    response = server.http.get("/readyz")
    ready = response.json()
    assert (response.status_code, ready["status"], ready["online_store"]) == (200, "ready", "reachable")
    assert ready["log"]["healthy"] is True
    assert ready["variants"][1] == {
        "name": "leaky",
        "model": "leaky",
        "version": "1",
        "alias": "champion",
        "weight": 50,
        "feature_service": "both_v1",
        "contract_hash": world.contracts["both_v1"].hash,
        "environment": ready["variants"][0]["environment"],
        "verdict": {"status": "unverified", "at": None, "problem": NO_KEY},
        "problem": None,
    }
    assert server.http.get("/healthz").json() == {"status": "alive"}


def test_the_documented_example_is_a_request_that_is_answered(server: Live) -> None:
    described = server.http.get("/openapi.json").json()
    assert server.http.get("/docs").status_code == 200
    for path in ("/v1/predict", "/v1/features"):
        content = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert server.http.post(path, json=content["example"]).status_code == 200
    for reference in _references(described):
        assert reference.removeprefix("#/components/schemas/") in described["components"]["schemas"]


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in _references(item)]
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for item in node.values() for found in _references(item)]
    return []


def test_the_worlds_planes_are_what_the_tests_say_of_them() -> None:
    ages = {row.tailnum: NOON - row.event_timestamp for row in PLANES.itertuples()}
    assert ages["EDGE"] == timedelta(hours=1) < ages["STALE"]
    assert pa.Table.from_pandas(PLANES).num_rows == 5
