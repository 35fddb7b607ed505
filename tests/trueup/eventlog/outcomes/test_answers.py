"""Outcomes behind an address: what is asked, how often, and what each refusal says. Against a real HTTP server."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.trueup.eventlog.outcomes.label_server import LabelServer, Says, label_server

from trueup.errors import InputError, SourceError
from trueup.eventlog.outcomes import answers
from trueup.eventlog.outcomes.answers import TRIES
from trueup.eventlog.outcomes.formats import parsed

fetch = partial(answers.fetch, pause=0.0)

ROWS = [{"request_id": "a", "late": 1}, {"request_id": "b", "late": 0}]
CSV = "request_id,late\na,1\nb,0\n"
JSON = '[{"request_id": "a", "late": 1}, {"request_id": "b", "late": 0}]'
NDJSON = '{"request_id": "a", "late": 1}\n\n{"request_id": "b", "late": 0}\n'


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


@pytest.fixture
def server() -> Iterator[LabelServer]:
    with label_server() as served:
        yield served


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/labels", parquet(), "application/vnd.apache.parquet"),
        ("/labels", CSV, "text/csv; charset=utf-8"),
        ("/labels", JSON, "application/json"),
        ("/labels", NDJSON, "application/x-ndjson"),
        ("/labels.parquet", parquet(), "application/octet-stream"),
        ("/labels.csv", CSV, None),
        ("/labels.jsonl", NDJSON, "text/plain"),
    ],
)
def test_the_type_of_the_answer_says_its_format_or_else_the_path(
    server: LabelServer, path: str, body: bytes | str, kind: str | None
) -> None:
    answer = fetch(server.says(path, Says(body=body, kind=kind)))
    assert parsed(answer.content, answer.format, answer.address).to_pylist() == ROWS


def test_a_token_is_sent_and_wins_over_what_netrc_has(
    server: LabelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch(server.says("/l.csv", Says(body=CSV)), token="secret")
    assert server.asked[0][1]["Authorization"] == "Bearer secret"


def test_a_token_is_not_sent_on_to_another_host(server: LabelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", "/dev/null")
    with label_server() as other:
        there = other.says("/l.csv", Says(body=CSV))
        fetch(server.says("/l", Says(302, headers={"Location": there})), token="secret")
        assert server.asked[0][1]["Authorization"] == "Bearer secret"
        assert other.asked[0][1]["Authorization"] is None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_asks_to_come_again_is_asked_again(server: LabelServer, status: int) -> None:
    address = server.says("/l.csv", Says(status), Says(status), Says(body=CSV))
    assert fetch(address).content == CSV.encode()
    assert len(server.asked) == 3


def test_in_the_end_it_is_given_up_with_what_the_server_said(server: LabelServer) -> None:
    address = server.says("/l.csv", Says(503, "the warehouse\nsleeps"))
    with pytest.raises(
        SourceError, match=rf"answered 503 .* \({TRIES} times\); expected 200. It says: the warehouse sl"
    ):
        fetch(address)
    assert len(server.asked) == TRIES


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_which_token_to_set(server: LabelServer, status: int) -> None:
    address = server.says("/l.csv", Says(status))
    with pytest.raises(SourceError, match=f"refuses: {status} .*Set TRUEUP_OUTCOMES_TOKEN to a token"):
        fetch(address)
    with pytest.raises(SourceError, match=r"The token in TRUEUP_OUTCOMES_TOKEN may not read it\."):
        fetch(address, token="wrong")
    assert len(server.asked) == 2


def test_what_is_not_there_is_not_asked_again(server: LabelServer) -> None:
    with pytest.raises(SourceError, match=r"/nothing\.csv is not there: 404"):
        fetch(f"{server.address}/nothing.csv")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [202, 204, 400])
def test_any_other_answer_is_an_error(server: LabelServer, status: int) -> None:
    with pytest.raises(SourceError, match=f"answered {status} .*expected 200"):
        fetch(server.says("/l.csv", Says(status)))


def test_an_answer_of_no_known_format_is_an_error(server: LabelServer) -> None:
    with pytest.raises(SourceError, match="answered with text/html; expected Parquet, CSV, JSON or NDJSON"):
        fetch(server.says("/l", Says(body="<html>", kind="text/html")))


def test_an_answer_that_is_cut_short_is_an_error_and_no_data(server: LabelServer) -> None:
    with pytest.raises(SourceError, match="does not answer"):
        fetch(server.says("/l.csv", Says(body=CSV, cut=10)))


def test_an_answer_that_breaks_off_once_is_asked_for_again(server: LabelServer) -> None:
    assert fetch(server.says("/l.csv", Says(body=CSV, cut=10), Says(body=CSV))).content == CSV.encode()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SourceError, match=f"http://127.0.0.1:{port}/l.csv does not answer: connection refused"):
        fetch(f"http://127.0.0.1:{port}/l.csv")


def test_a_server_that_does_not_answer_in_time_is_given_up() -> None:
    # It takes the connection and says nothing.
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/l.csv"
        with pytest.raises(SourceError, match="does not answer: it took too long"):
            fetch(address, timeout=0.05)


def test_endless_redirects_are_an_error(server: LabelServer) -> None:
    address = server.says("/l", Says(302, headers={"Location": f"{server.address}/l"}))
    with pytest.raises(SourceError, match="it leads on and on"):
        fetch(address)


def test_an_error_says_nothing_secret_of_an_address(server: LabelServer) -> None:
    address = server.says("/l.csv", Says(404)).replace("http://", "http://me:hunter2@") + "?signature=hunter2"
    with pytest.raises(SourceError) as said:
        fetch(address)
    assert "hunter2" not in str(said.value)


def test_an_error_of_the_connection_says_nothing_secret_either(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SourceError) as said:
        fetch(f"http://me:hunter2@127.0.0.1:{port}/l?key=hunter2")
    assert "hunter2" not in str(said.value)
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("address", ["http://", "http://:80/l.csv", "http://[::1/l.csv", "http://host:port/l.csv"])
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    with pytest.raises((InputError, SourceError), match=r"does not answer|it is no address"):
        fetch(address)


def test_a_token_that_no_header_can_hold_is_an_error(server: LabelServer) -> None:
    with pytest.raises(InputError, match="TRUEUP_OUTCOMES_TOKEN: it holds what no HTTP header can") as said:
        fetch(server.says("/l.csv", Says(body=CSV)), token="secret\nof two lines")
    assert "secret" not in str(said.value)
