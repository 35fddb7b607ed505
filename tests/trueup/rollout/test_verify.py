"""`trueup verify` against a real server: what it follows, what it answers, and what its log shows."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import FeatureStore
from tests.training import shop
from tests.trueup.rollout.conftest import ASKED_AT, PATIENCE, Live, fill
from typer.testing import CliRunner, Result

from trueup.cli import app
from trueup.errors import InputError, ModelError
from trueup.eventlog.reader import find_logs, read_log
from trueup.instants import format_instant
from trueup.rollout.servers import REQUEST_ID, Patience
from trueup.rollout.verify import Verification, verify

AT_ONCE = Patience(0)


def unmet(found: Verification) -> dict[str, tuple[str, str]]:
    return {item.name: (item.verdict, item.said) for item in found.evidence if not item.met}


@pytest.mark.parametrize("alias", ["canary", "shadow"])
def test_a_version_that_is_served_as_it_was_trained_passes(live: Live, alias: str) -> None:
    found = verify(live.world, "shop@2", alias, live.asked(), PATIENCE)
    assert unmet(found) == {}
    assert found.outcome == "pass"
    said = {item.name: item.said for item in found.evidence}
    assert "30 requests of one row: shop@1 " in said["answers"]
    assert f"1 server ready with shop@2 as {alias}" in said["followed"]
    assert said["live parity"].startswith("0 of ")
    assert found.parity is not None
    assert {(each.subject, each.version) for each in found.parity.cells} == {("shop", "2")}


def test_its_requests_are_known_by_their_ids_and_take_nobodys_unit(live: Live) -> None:
    assert live.world.log is not None
    verify(live.world, "shop@2", "canary", live.asked(requests=3), PATIENCE)
    rows = [row for folder in find_logs(live.world.log) for row in read_log(folder).table.to_pylist()]
    assert rows
    assert all(row["__request_id"].startswith(REQUEST_ID) and row["__unit"].startswith(REQUEST_ID) for row in rows)


def test_a_version_that_has_not_the_alias_fails_whatever_is_served(live: Live) -> None:
    found = unmet(verify(live.world, "shop@1", "canary", live.asked(requests=5), AT_ONCE))
    assert found["alias"] == ("fail", "shop@2 has canary, not shop@1: another hand moved it meanwhile.")
    assert found["followed"][0] == "fail"
    assert "variant canary is shop@2 still" in found["followed"][1]


def test_an_alias_that_moves_is_waited_for(live: Live) -> None:
    live.tracking.set_alias("shop", "canary", 1)
    try:
        found = verify(live.world, "shop@1", "canary", live.asked(), PATIENCE)
        assert unmet(found) == {}
    finally:
        live.tracking.set_alias("shop", "canary", 2)
    assert unmet(verify(live.world, "shop@2", "canary", live.asked(), PATIENCE)) == {}


def test_an_alias_that_no_variant_has_could_not_be_looked_at(live: Live) -> None:
    live.tracking.set_alias("shop", "challenger", 2)
    found = verify(live.world, "shop@2", "challenger", live.asked(), PATIENCE)
    assert unmet(found) == {"followed": ("could not run", f"{live.url}: no variant there is shop@challenger.")}
    assert found.outcome == "could not run"


def test_a_server_that_is_down_fails(live: Live) -> None:
    asked = live.asked(servers=(live.url, "http://127.0.0.1:1"))
    found = unmet(verify(live.world, "shop@2", "canary", asked, AT_ONCE))
    assert found["followed"] == ("fail", "http://127.0.0.1:1: it does not answer (ConnectionError).")
    assert "answers" not in found


def test_rows_of_its_own_are_sent_and_a_refused_one_counts(live: Live) -> None:
    good = {"site": "Oslo", "placed_unix": 1_707_500_000, "order_id": "x"}
    asked = live.asked(entities=(good, {**good, "site": 7}), requests=10)
    found = unmet(verify(live.world, "shop@2", "shadow", asked, PATIENCE))
    assert found["error budget"][0] == "fail"
    assert found["error budget"][1].startswith("5 of 10 requests failed (50.00%), 0.10% may; status 422: ")


def test_live_traffic_alone_is_no_pass_where_there_is_none(live: Live) -> None:
    later = ASKED_AT + timedelta(minutes=30)
    found = verify(live.world, "shop@2", "canary", live.asked(requests=0, since=later), PATIENCE)
    (name, (verdict, said)) = next(iter(unmet(found).items()))
    assert (name, verdict, found.outcome) == ("live parity", "could not run", "could not run")
    assert "no row in " in said or "nothing" in said


def test_servers_of_another_clock_are_a_mistake_to_ask(live: Live) -> None:
    with pytest.raises(InputError, match="so each request must bring an instant"):
        verify(live.world, "shop@2", "canary", live.asked(at=None), PATIENCE)
    with pytest.raises(InputError, match="'server:8080' is no address"):
        verify(live.world, "shop@2", "canary", live.asked(servers=("server:8080",)), PATIENCE)
    with pytest.raises(ModelError, match="has no version '9'"):
        verify(live.world, "shop@9", "canary", live.asked(), PATIENCE)


def run(live: Live, *words: object) -> Result:
    world = live.world
    options: list[object] = ["--repo", world.repo, "--tracking-uri", world.tracking.uri, "--log", world.log]
    options += ["--server", live.url, "--now", format_instant(ASKED_AT), "--requests", 30]
    result = CliRunner().invoke(app, [str(word) for word in ("verify", *words, *options)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_command_says_it_in_a_table_in_json_and_in_files(live: Live, tmp_path: Path) -> None:
    junit = tmp_path / "ci" / "parity.xml"
    passed = run(live, "shop@2", "--as", "canary", "--junit", junit)
    assert passed.exit_code == 0
    assert "shop@2 is served well as canary." in passed.stdout
    assert max(len(line) for line in passed.stdout.splitlines()) <= 100
    assert "<testsuite" in junit.read_text()
    failed = run(live, "shop@1", "--as", "canary", "--within", "0s", "--json")
    assert failed.exit_code == 1
    said: dict[str, Any] = json.loads(failed.stdout)
    assert (said["model"], said["version"], said["alias"], said["outcome"]) == ("shop", 1, "canary", "fail")
    assert run(live, "shop@2", "--as", "nobody", "--within", "0s").exit_code == 1
    help_ = " ".join(CliRunner().invoke(app, ["verify", "--help"]).stdout.split())
    assert "Example: trueup verify" in help_


def test_skew_in_the_online_store_fails_with_its_cause(live: Live) -> None:
    """Last: what the log has of it stays there."""
    at = ASKED_AT + timedelta(minutes=2)
    store = FeatureStore(repo_path=str(live.world.repo))
    hour = shop.PINNED - timedelta(hours=1)
    rows = {"site": list(shop.SITES), "level": 9.0, "open": 3, "hour": hour, "created": hour}
    store.write_to_online_store("load", pd.DataFrame(rows))
    try:
        found = verify(live.world, "shop@2", "canary", live.asked(at=at, since=at), PATIENCE)
    finally:
        fill(live.world.repo)
    assert list(unmet(found)) == ["live parity"]
    verdict, said = unmet(found)["live parity"]
    assert verdict == "fail"
    assert "30 of " in said or "values in 30 served rows differ" in said
