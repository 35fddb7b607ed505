"""Whether views are as new as they are declared to be: the law, and the command on stock repositories."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tests.trueup.parity.stock import NOW, template
from typer.testing import CliRunner

from trueup.cli import app
from trueup.contracts.contract import Field, JoinKey, Source, View
from trueup.instants import Schedule, format_instant, parse_instant
from trueup.monitoring.freshness import OnlineAges, freshness_of
from trueup.stores.ledger import Run

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SOURCE = Source("test", "at", None, None, {"source": "none"}, {})


def view(*, ttl: timedelta | None = None, cadence: timedelta = HOUR, delay: timedelta = timedelta()) -> View:
    keys = (JoinKey("k", "String", "k"),)
    return View("v", "v", keys, (Field("f", "Float64"),), ttl, SOURCE, Schedule(cadence, delay))


def run(known_at: datetime, *, finished: bool = True, number: int = 1) -> Run:
    end = known_at + timedelta(minutes=1) if finished else None
    return Run(number, "p", "v", known_at, end, known_at, None, known_at - HOUR, known_at, 1, "h")


FULL = OnlineAges(entities=10, newest=AT, oldest=AT)


@given(st.integers(0, 20_000), st.integers(0, 3), st.integers(0, 120))
def test_a_view_is_late_when_a_whole_run_was_missed(age: int, hours: int, delay: int) -> None:
    cadence, wait = timedelta(hours=hours), timedelta(minutes=delay)
    known = AT - timedelta(seconds=age + 60)
    found = freshness_of(view(cadence=cadence, delay=wait), [run(known)], FULL, AT)
    late = hours > 0 and age + 60 > 2 * hours * 3600 + delay * 60
    assert found.fresh == (not late)
    assert found.known_at == known


def test_a_run_that_never_finished_or_read_what_is_still_to_come_counts_for_nothing() -> None:
    running = [run(AT - HOUR, finished=False), run(AT + timedelta(seconds=1), number=2)]
    found = freshness_of(view(), running, FULL, AT)
    assert found.reasons == ("it was never materialized",)
    assert (found.materialized_at, found.known_at) == (None, None)


@pytest.mark.parametrize(
    ("online", "reason"),
    [
        (OnlineAges(), "the online store holds nothing of it"),
        (OnlineAges(entities=10, expired=10, newest=AT - 7 * HOUR), "everything online is older than its TTL of 6h"),
        (OnlineAges(entities=10, expired=9, newest=AT), None),
        (OnlineAges(listed=False), None),
    ],
)
def test_what_is_online_must_be_there_and_not_all_of_it_expired(online: OnlineAges, reason: str | None) -> None:
    found = freshness_of(view(ttl=6 * HOUR), [run(AT - HOUR)], online, AT)
    assert found.reasons == (() if reason is None else (reason,))


# ------------------------------------------------------------------ the command

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning", "ignore::FutureWarning"
)


def freshness(repo: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    found = CliRunner().invoke(app, ["freshness", "--repo", str(repo), "--json", *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, json.loads(found.stdout)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return Path(str(template(tmp_path, offline="dask", online={"type": "sqlite", "path": "data/online.db"}).repo_path))


def test_a_stock_repository_is_told_as_it_is(repo: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "made" / "freshness.prom"
    code, report = freshness(repo, "--prometheus", str(metrics))
    assert code == 0, report
    views = {each["view"]: each for each in report["views"]}
    assert views
    families = {family.name: family for family in text_string_to_metric_families(metrics.read_text())}
    for name, each in views.items():
        assert each["entities"] > 0
        newest = parse_instant(each["newest_event"])
        assert newest <= NOW
        shown = families["trueup_view_newest_event_timestamp_seconds"].samples
        assert {sample.labels["view"]: sample.value for sample in shown}[name] == newest.timestamp()
    fresh = {sample.labels["view"]: sample.value for sample in families["trueup_view_fresh"].samples}
    assert fresh == dict.fromkeys(views, 1.0)


def test_years_later_everything_has_expired_and_the_command_fails(repo: Path) -> None:
    later = NOW + timedelta(days=3650)
    code, report = freshness(repo, "--now", format_instant(later))
    assert code == 1
    assert all(not each["fresh"] for each in report["views"] if each["ttl"] is not None)
    assert any("TTL" in reason for each in report["views"] for reason in each["reasons"])


def test_a_bound_on_entities_is_kept_and_said(repo: Path) -> None:
    _, report = freshness(repo, "--now", format_instant(NOW), "--entities", "2")
    assert {(each["entities"], each["all_entities"]) for each in report["views"]} == {(2, False)}


def test_a_view_that_does_not_exist_is_an_error_that_names_those_that_do(repo: Path) -> None:
    from trueup.errors import InputError

    with pytest.raises(InputError, match=r"no feature view 'nothing'.*driver_hourly_stats"):
        freshness(repo, "--view", "nothing")


def test_a_ledger_without_a_finished_run_leaves_what_feasts_registry_knows(repo: Path) -> None:
    """The first materialization of `trueup monitor` on a repository that had none of it is under way."""
    from feast import FeatureStore

    from trueup.stores.ledger_engine import ledger_of

    store = FeatureStore(repo_path=str(repo))
    ledger_of(store.config).start(
        project=store.project,
        view="driver_hourly_stats",
        started_at=NOW,
        known_at=NOW,
        known_after=None,
        event_start=NOW - HOUR,
        event_end=NOW,
        definition_hash="h",
    )
    code, report = freshness(repo)
    assert code == 0, report
