"""A client's mistake gets a 4xx that names the field, as RFC 9457 problem+json; never a 500."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.serving.conftest import REPLAY, Live, Serve
from tests.serving.world import World, entity

from trueup_serving.problems import MEDIA_TYPE, MOST_ERRORS, ProblemBody

JSON = {"Content-Type": "application/json"}


def problem(response: httpx.Response, status: int, kind: str | None = None) -> ProblemBody:
    """The response as the problem it must be."""
    assert (response.status_code, response.headers["content-type"]) == (status, MEDIA_TYPE), response.text
    body = ProblemBody.model_validate(response.json(), strict=True)
    assert (body.status, body.request_id) == (status, response.headers["X-Request-Id"])
    assert body.type.startswith("urn:problem-type:trueup:")
    if kind is not None:
        assert body.type == f"urn:problem-type:trueup:{kind}"
    return body


def post(live: Live, content: bytes | str, path: str = "/v1/predict", **headers: str) -> httpx.Response:
    return live.http.post(path, content=content, headers={**JSON, **headers})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ('{"entities": [1,]}', "Illegal trailing comma|Expecting value"),
        ('{"entities": [NaN]}', "NaN is not JSON"),
        ('{"entities": [-Infinity]}', "-Infinity is not JSON"),
        ("[" * 100_000, "nested too deeply|longer than"),
        ("[" * 9_000, "nested too deeply"),
        (b'"\xff"', "can't decode byte"),
        ("\ufeff{}", "BOM"),
        ('{"entities": [' + "9" * 5000 + "]}", "integer string conversion"),
    ],
)
def test_a_body_that_is_not_json_is_a_400(server: Live, text: bytes | str, says: str) -> None:
    response = post(server, text)
    body = problem(response, 413 if len(text) > 20_000 else 400)
    assert any(part in body.detail for part in says.split("|")), body.detail


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("tailnum", 1, "valid string, got 1"),
        ("tailnum", ["a"], "valid string, got ['a']"),
        ("tailnum", "\ud800", "valid string"),
        ("flight", "\ud800", "text that is not empty"),
        ("sched", True, "valid integer, got True"),
        ("sched", 1.0, "valid integer, got 1.0"),
        ("sched", "1", "valid integer, got '1'"),
        ("sched", 2**63, "less than or equal to 9223372036854775807"),
        ("sched", -(2**63) - 1, "greater than or equal to -9223372036854775808"),
        ("sched", 10**400, "less than or equal|valid integer"),
        ("price", False, "valid number, got False"),
        ("price", "0.5", "valid number, got '0.5'"),
        ("price", 3.5e38, "finite number that float32 can hold"),
        ("price", 10**400, "finite number that float32 can hold"),
        ("flight", "", "text that is not empty"),
        ("flight", None, "text that is not empty"),
        ("flight", 2**63, "64-bit integer"),
        ("flight", True, "64-bit integer"),
        ("flight", 1.5, "64-bit integer"),
    ],
)
def test_a_value_of_another_type_is_named(server: Live, field: str, value: Any, says: str) -> None:
    body = problem(post(server, json.dumps({"entities": [entity(), entity(**{field: value})]})), 422, "invalid-fields")
    assert [error.field for error in body.errors] == [f"entities[1].{field}"]
    assert any(part in body.errors[0].message for part in says.split("|")), body.errors


def test_a_number_too_large_for_a_float_is_not_infinity(server: Live) -> None:
    text = json.dumps({"entities": [entity()]}).replace("0.1", "1e999")
    assert [error.field for error in problem(post(server, text), 422).errors] == ["entities[0].price"]


def test_missing_and_unknown_fields_are_named_all_at_once(server: Live) -> None:
    rows = [
        {**entity(), "extra": 1},
        {name: value for name, value in entity().items() if name not in ("dest", "flight")},
    ]
    body = problem(server.predict(rows, surprise=True), 422, "invalid-fields")
    assert {error.field: error.message for error in body.errors} == {
        "entities[0].extra": "is not a field of this request",
        "entities[1].dest": "is missing",
        "entities[1].flight": "is missing",
        "surprise": "is not a field of this request",
    }
    assert body.detail.endswith("(and 3 more)")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "entities"),
        ({"entities": None}, "entities"),
        ({"entities": []}, "entities"),
        ({"entities": {}}, "entities"),
        ({"entities": [entity()] * 51}, "entities"),
        ({"entities": ["FRESH"]}, "entities[0]"),
        ({"entities": [None]}, "entities[0]"),
        ([entity()], "(body)"),
        (None, "(body)"),
        (3, "(body)"),
        ({"entities": [entity()], "request_id": ""}, "request_id"),
        ({"entities": [entity()], "request_id": 5}, "request_id"),
        ({"entities": [entity()], "request_id": "a b"}, "request_id"),
        ({"entities": [entity()], "request_id": "a\r\nX-Evil: 1"}, "request_id"),
        ({"entities": [entity()], "request_id": "a\n"}, "request_id"),
        ({"entities": [entity()], "request_id": "é"}, "request_id"),
        ({"entities": [entity()], "request_id": "x" * 129}, "request_id"),
        ({"entities": [entity()], "variant": "honest"}, "variant"),
    ],
)
def test_a_body_of_another_shape_is_named(server: Live, body: Any, field: str) -> None:
    assert field in {error.field for error in problem(post(server, json.dumps(body)), 422).errors}


def test_an_unknown_variant_is_named_with_those_there_are(server: Live) -> None:
    (error,) = problem(server.features([entity()], variant="other"), 422).errors
    assert error.field == "variant"
    assert "'honest'" in error.message
    assert "'leaky'" in error.message


@pytest.mark.parametrize("text", ['{"entities": [], "entities": []}', '{"entities": [{"dest": "A", "dest": "A"}]}'])
def test_a_field_that_stands_twice_is_named(server: Live, text: str) -> None:
    body = problem(post(server, text), 400, "duplicate-field")
    assert body.errors[0].field in ("entities", "dest")
    assert "twice" in body.errors[0].message


def test_only_so_many_errors_are_listed_but_all_are_counted(server: Live) -> None:
    body = problem(server.predict([{}] * 50), 422)
    assert len(body.errors) == MOST_ERRORS
    assert body.detail.endswith("(and 299 more)")


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""]
)
def test_another_media_type_is_a_415(server: Live, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = server.http.post("/v1/predict", content=json.dumps({"entities": [entity()]}), headers=headers)
    assert problem(response, 415, "unsupported-media-type").errors[0].field == "Content-Type"


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_json_however_it_is_spelled(server: Live, content_type: str) -> None:
    body = json.dumps({"entities": [entity()]})
    assert post(server, body, **{"Content-Type": content_type}).status_code == 200


def test_a_compressed_body_is_a_415(server: Live) -> None:
    response = post(server, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert problem(response, 415).errors[0].field == "Content-Encoding"


def test_a_body_too_large_is_refused_whether_or_not_it_says_its_length(server: Live) -> None:
    big = b" " * 20_001
    problem(post(server, big), 413, "body-too-large")
    problem(server.http.post("/v1/predict", content=iter([big[:10_000], big[10_000:]]), headers=JSON), 413)
    text = json.dumps({"entities": [entity()]})
    assert post(server, text + " " * (20_000 - len(text))).status_code == 200


@pytest.mark.parametrize(
    "instant",
    [
        "",
        "yesterday",
        "2013-11-01T25:00:00Z",
        "1383307200",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1899-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2013-11-01T00:00:00Z\xff".encode("latin-1"),
    ],
)
def test_a_bad_instant_in_the_header_is_a_400(server: Live, instant: str | bytes) -> None:
    headers = httpx.Headers([("X-Trueup-Now", instant), ("Content-Type", "application/json")])
    response = server.http.post("/v1/predict", content=json.dumps({"entities": [entity()]}), headers=headers)
    assert problem(response, 400, "bad-instant").errors[0].field == "X-Trueup-Now"


def test_a_replay_without_its_instant_or_with_two_is_a_400(server: Live) -> None:
    body = {"entities": [entity()], "request_id": "mine"}
    del server.http.headers["X-Trueup-Now"]
    try:
        response = server.http.post("/v1/predict", json=body)
        twice = [("X-Trueup-Now", "2013-11-01"), ("X-Trueup-Now", "2013-11-02")]
        several = server.http.post("/v1/predict", json=body, headers=twice)
    finally:
        server.http.headers.update(REPLAY)
    assert problem(response, 400, "missing-instant").request_id == "mine"
    assert "several" in problem(several, 400, "missing-instant").detail


def test_by_the_wall_clock_an_instant_in_the_header_is_refused_not_ignored(serve: Serve) -> None:
    live = serve(clock="wall")
    assert problem(live.predict([entity()]), 400, "unexpected-instant").errors[0].field == "X-Trueup-Now"


def test_what_there_is_not_is_a_404_and_what_is_not_allowed_a_405(server: Live) -> None:
    problem(server.http.get("/"), 404, "not-found")
    problem(server.http.post("/v1/predict/", json={}), 404, "not-found")
    problem(server.http.get("/%ff%00/../\N{SNOWMAN}"), 404)
    cases = (("GET", "/v1/predict", "POST"), ("DELETE", "/v1/features", "POST"), ("POST", "/readyz", "GET"))
    for method, path, allowed in cases:
        response = server.http.request(method, path)
        assert allowed in problem(response, 405, "method-not-allowed").detail
        assert response.headers["Allow"] == allowed


def test_rows_an_on_demand_view_cannot_compute_are_named(server: Live) -> None:
    """No calendar has that second: the function raises, and its message is the client's to read."""
    rows = [entity(0), entity(1, sched=2**62), entity(2), entity(3, sched=-(2**62))]
    body = problem(server.predict(rows), 422, "on-demand-failed")
    assert [error.field for error in body.errors] == ["entities[1]", "entities[3]"]
    assert "on-demand view clock failed" in body.errors[0].message


def test_a_refused_request_logs_nothing(serve: Serve, world: World) -> None:
    live = serve()
    problem(live.predict([entity(), entity(sched=2**62)]), 422)
    problem(live.predict([entity(), {}]), 422)
    assert live.logged(world.contracts["both_v1"]) == []


def test_a_client_that_hangs_up_is_not_the_servers_failure(serve: Serve) -> None:
    live = serve()
    address = (live.http.base_url.host, live.http.base_url.port)
    with socket.create_connection(address) as link:  # type: ignore[arg-type]
        head = "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        link.sendall(head.encode())
        link.shutdown(socket.SHUT_WR)
        assert b" 500 " not in link.recv(1000)
    live.predict([entity()]).raise_for_status()
    with pytest.raises(AssertionError, match="has no"):
        live.metric("trueup_requests_total", route="/v1/predict", code="500")


_json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_nearly_rows = st.builds(
    lambda changes, without: {k: v for k, v in {**entity(), **changes}.items() if k != without},
    st.dictionaries(st.sampled_from(sorted(entity())) | st.text(max_size=3), _json_values, max_size=2),
    st.none() | st.sampled_from(sorted(entity())),
)
_nearly_bodies = st.fixed_dictionaries(
    {},
    optional={
        "entities": st.lists(_nearly_rows, max_size=3) | _json_values,
        "request_id": st.text(max_size=4) | _json_values,
        "variant": st.sampled_from(["honest", "x"]) | _json_values,
    },
)
_texts = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda value: json.dumps(value).encode(), _json_values),
    st.builds(lambda value: json.dumps(value).encode(), _nearly_bodies),
    st.builds(lambda value, cut: json.dumps(value).encode()[:cut], _nearly_bodies, st.integers(0, 200)),
)


@given(text=_texts, path=st.sampled_from(["/v1/predict", "/v1/features"]))
@example(text=json.dumps({"entities": [entity(tailnum="\udcff")]}).encode(), path="/v1/predict")
@example(text=json.dumps({"entities": [entity(flight="\udcff")]}).encode(), path="/v1/predict")
@example(text=json.dumps({"entities": [{**entity(), "\udcff": 1}]}).encode(), path="/v1/predict")
@example(text=b'{"\\udcff": 1, "\\udcff": 2}', path="/v1/predict")
@example(text=json.dumps({"entities": [entity(tailnum="\x00")]}).encode(), path="/v1/predict")
@example(text=json.dumps({"entities": [entity(price=1e39)]}).encode(), path="/v1/features")
@example(text=json.dumps({"entities": [entity(sched=-(2**63))]}).encode(), path="/v1/features")
def test_no_body_whatever_it_is_makes_the_server_fail(server: Live, text: bytes, path: str) -> None:
    response = post(server, text, path)
    if response.status_code != 200:
        assert response.status_code in (400, 422), response.text
        assert problem(response, response.status_code).detail


_header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=20)


@given(
    name=st.sampled_from(["Content-Type", "X-Trueup-Now", "Content-Encoding", "Accept", "X-Request-Id"]),
    value=_header_values.map(str.strip),
)
def test_no_header_whatever_it_says_makes_the_server_fail(server: Live, name: str, value: str) -> None:
    headers = {**JSON, name: value.encode("latin-1")}
    content = json.dumps({"entities": [entity()]})
    response = server.http.post("/v1/predict", content=content, headers=httpx.Headers(list(headers.items())))
    assert response.status_code in (200, 400, 415), response.text
