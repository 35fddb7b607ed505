"""What /metrics says of requests, variants, look-ups and features."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.serving.conftest import Live, Serve
from tests.serving.world import NOON, World, entity

from trueup.contracts.contract import FeatureContract, Field, JoinKey, Source, View
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.instants import parse_instant
from trueup.monitoring.buckets import AGE_SECONDS
from trueup.stores.local_redis import LocalRedis
from trueup_serving.metrics.features import FeatureCounts

ROWS = [entity(0), entity(1, tailnum="STALE"), entity(2, tailnum="NULLS"), entity(3, tailnum="unknown"), entity(4)]


def _states(live: Live) -> Counter[tuple[str, str, str]]:
    return Counter(
        {
            (labels["service"], labels["feature"], labels["status"]): int(value)
            for labels, value in live.samples("trueup_feature_values_total")
        }
    )


def test_every_value_that_was_read_is_counted_by_its_state(server: Live) -> None:
    # Both variants' models may read by contracts of their own: each asks for its features once.
    before = _states(server)
    expected: Counter[tuple[str, str, str]] = Counter()
    contracts = {model.contract.hash: model for model in server.service.models.values()}
    for model in contracts.values():
        for row in server.features(ROWS, variant=model.variant.name).json()["rows"]:
            for name, found in row["features"].items():
                expected[model.contract.service, name, found["status"].lower()] += 1
    assert _states(server) == before  # a look at features counts as no request
    server.predict(ROWS)
    scored = _states(server)
    scored.subtract(before)
    shadow = server.service.design.shadow
    if len(contracts) == 1 or shadow:
        assert +scored == expected
    assert {status for _, _, status in +scored} == {"present", "null", "missing", "expired"}


def test_ages_are_of_what_was_read_and_only_of_what_there_is(server: Live) -> None:
    def observed() -> dict[tuple[str, str], tuple[float, float]]:
        counts, sums = (
            {
                (each["service"], each["view"]): value
                for each, value in server.samples(f"trueup_feature_age_seconds_{end}")
            }
            for end in ("count", "sum")
        )
        return {place: (counts[place], sums[place]) for place in counts}

    before = observed()
    model = next(iter(server.service.models.values()))
    row = entity(0)
    (found,) = server.features([row], variant=model.variant.name).json()["rows"]
    server.predict([row])
    after = observed()
    for view in model.contract.views:
        columns = [view.column(item.name) for item in view.features]
        times = {found["features"][column]["event_time"] for column in columns if column in found["features"]}
        (time,) = times or {None}
        place = model.contract.service, view.name
        count, total = (now - then for now, then in zip(after[place], before[place], strict=True))
        assert count == (time is not None)
        assert total == pytest.approx((NOON - parse_instant(time)).total_seconds() if time else 0.0)


def test_a_variants_requests_are_counted_and_timed_once_each(serve: Serve) -> None:
    live = serve()
    answered = [item["variant"] for item in live.predict(ROWS).json()["predictions"]]
    assert set(answered) == {"honest", "leaky"}
    (only,) = {item["variant"] for item in live.predict([ROWS[0]] * 3).json()["predictions"]}
    experiment = live.service.design.name
    for variant in ("honest", "leaky"):
        requests = 1 + (variant == only)
        place = {"experiment": experiment, "variant": variant}
        assert live.metric("trueup_variant_requests_total", **place, outcome="answered") == requests
        assert live.metric("trueup_variant_requests_total", **place, outcome="failed") == 0
        assert live.metric("trueup_variant_seconds_count", **place) == requests
        rows = answered.count(variant) + 3 * (variant == only)
        assert live.metric("trueup_assignments_total", **place) == rows
        assert live.metric("trueup_prediction_count", **place) == rows


def test_a_request_that_the_online_store_failed_is_a_failure_of_its_variants(
    serve: Serve, own_redis: tuple[World, LocalRedis]
) -> None:
    mine, redis = own_redis
    live = serve(world=mine)
    (variant,) = {item["variant"] for item in live.predict([entity()]).json()["predictions"]}
    redis.stop()
    assert live.predict([entity()]).status_code == 503
    place = {"experiment": live.service.design.name, "variant": variant}
    assert live.metric("trueup_variant_requests_total", **place, outcome="failed") == 1
    assert live.metric("trueup_variant_requests_total", **place, outcome="answered") == 1
    (service,) = {model.contract.service for model in live.service.models.values() if model.variant.name == variant}
    assert live.metric("trueup_lookups_total", service=service, outcome="failed") == 1
    # What was never read has no state: a store that is away does not look like features that are missing.
    values = Counter(labels["status"] for labels, value in live.samples("trueup_feature_values_total") if value)
    assert set(values) <= {"present", "null"}


def test_a_refused_request_is_nobodys_failure(serve: Serve) -> None:
    live = serve()
    assert live.predict([{"nonsense": 1}]).status_code == 422
    assert not any(value for _, value in live.samples("trueup_variant_requests_total"))
    assert live.metric("trueup_requests_total", route="/v1/predict", code="422") == 1


def test_who_asks_for_openmetrics_gets_it_and_both_forms_say_the_same(server: Live) -> None:
    server.predict(ROWS)
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    modern, plain = server.http.get("/metrics", headers=accept), server.http.get("/metrics")
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    moving = ("trueup_request_", "trueup_requests_", "trueup_log_")  # counted between the two scrapes
    both = [
        {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
            if not sample.name.startswith(moving)
        }
        for families in (openmetrics(modern.text), text_string_to_metric_families(plain.text))
    ]
    assert both[0] == both[1]
    assert not any(name.endswith("_created") for name, *_ in both[0])


def test_no_request_makes_a_new_series_but_for_a_status_code(server: Live) -> None:
    def series() -> set[tuple[Any, ...]]:
        return {
            (sample.name, *sorted((name, value) for name, value in sample.labels.items() if name != "code"))
            for family in text_string_to_metric_families(server.http.get("/metrics").text)
            for sample in family.samples
        }

    server.http.get("/nowhere")
    server.http.get("/docs")
    server.predict(ROWS)
    before = series()
    for path in ("/v1/predict/../x", "/%00", "/a" * 50, "/v1/predict?x=1"):
        server.http.get(path)
    server.predict([entity(number, tailnum=f"plane {number}", flight=f"unit {number}") for number in range(30)])
    server.predict([{"tailnum": "x" * 1000}])
    assert series() == before


VIEW = View(
    name="v",
    table="v",
    keys=(JoinKey("k", "String", "k"),),
    features=(Field("a", "Float64"), Field("b", "Float64")),
    ttl=None,
    source=Source("FileSource", "at", None, None, {}, {}),
)
CONTRACT = FeatureContract(project="p", service="s", features=(("v", "a"), ("v", "b")), views=(VIEW,))


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(list(Status)), min_size=2, max_size=2),
            st.one_of(st.none(), st.integers(-3600, 2 * AGE_SECONDS[-1]), st.sampled_from(AGE_SECONDS)),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_arrays_count_what_one_counter_a_value_would(rows: list[tuple[list[Status], int | None]]) -> None:
    contract = CONTRACT
    now = datetime(2026, 1, 1, tzinfo=UTC)
    times = [None if age is None else now - timedelta(seconds=age) for _, age in rows]
    frame = FeatureFrame(
        pa.table({name: pa.nulls(len(rows), pa.float64()) for name in contract.columns}),
        pa.table(
            {
                name: pa.array([int(states[at]) for states, _ in rows], STATUS)
                for at, name in enumerate(contract.columns)
            }
        ),
        pa.table({"v": pa.array(times, EVENT_TIME)}),
    )
    counts = FeatureCounts()
    counts.expect(contract)
    counts.count(contract, frame, now)
    counts.count(contract, frame, now)
    values, ages = counts.collect()
    assert {(each.labels["feature"], each.labels["status"]): each.value for each in values.samples} == {
        (name, state.name.lower()): 2 * sum(states[at] is state for states, _ in rows)
        for at, name in enumerate(contract.columns)
        for state in Status
    }
    known = [max(age, 0) for _, age in rows if age is not None]
    buckets = {each.labels["le"]: each.value for each in ages.samples if each.name.endswith("_bucket")}
    assert buckets == {
        **{f"{bound:.1f}": 2 * sum(age <= bound for age in known) for bound in AGE_SECONDS},
        "+Inf": 2 * len(known),
    }
    (total,) = [each.value for each in ages.samples if each.name.endswith("_sum")]
    assert total == pytest.approx(2 * float(np.sum(known)))
