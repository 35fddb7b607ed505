"""`trueup freshness`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.files import write_whole
from trueup.cli.options import (
    CHECK_FAILED,
    COULD_NOT_RUN,
    Json,
    LedgerPath,
    Metrics,
    Repo,
    instant,
    print_json,
    print_table,
)
from trueup.cli.parity.place import Place
from trueup.console import errors, output, step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from trueup.monitoring.freshness import ViewFreshness
    from trueup.stores.ledger import Run


def freshness(
    service: Annotated[
        str | None, typer.Argument(help="A feature service: its views alone; all of the repository by default.")
    ] = None,
    repo: Repo = None,
    views: Annotated[list[str] | None, typer.Option("--view", help="A feature view; all by default.")] = None,
    now: Annotated[
        str | None, typer.Option(help="As of this instant; default: the online store's `now`, else the clock.")
    ] = None,
    at_most: Annotated[
        int, typer.Option("--entities", min=1, help="Look at no more entities online than so many, a set of keys.")
    ] = 1_000_000,
    ledger: LedgerPath = None,
    prometheus: Metrics = None,
    as_json: Json = False,
) -> None:
    """Is what stands online as new as it should be? Each view's last materialization, newest event time and TTL.

    A view is late when two runs of its declared cadence (`trueup.cadence`) should have come since its last; it is stale
    when everything online is older than its TTL, and when it was never materialized. Works on any Feast repository.

    Exits 0 when every view is fresh, 1 when one is not, 2 when it cannot be told.

    Example: trueup freshness --prometheus build/freshness.prom
    """
    from trueup.cli.parity.online import open_online
    from trueup.instants import format_instant, utc_now
    from trueup.monitoring.freshness import freshness_of
    from trueup.monitoring.online_ages import online_ages

    place = Place(repo=repo, ledger=ledger)
    with step("freshness") as advance:
        stored, rows = open_online(place, service, views)
        at = instant("now", now) or rows.now or utc_now()
        project, declared = stored.contract.project, stored.contract.views
        ages = online_ages(rows, project, declared, at, at_most=at_most, progress=lambda doing: advance(1, doing))
        found = [freshness_of(view, _runs(place, project, view.table), ages[view.table], at) for view in declared]
    if prometheus is not None:
        from trueup.monitoring.samples.freshness import freshness_samples
        from trueup.monitoring.samples.text import text_of

        write_whole(prometheus, text_of(freshness_samples(found)), field="prometheus", what="metrics")
    if as_json:
        print_json(
            {"at": format_instant(at), "views": [each.to_json() for each in found], "problems": dict(stored.problems)}
        )
    else:
        print_table([_row(each) for each in found])
        for each in found:
            for reason in each.reasons:
                output.print(f"{each.view}: {reason}.", markup=False, highlight=False)
    for view, problem in stored.problems.items():
        errors.print(f"{view} cannot be looked at: {problem}", markup=False)
    stale = any(not each.fresh for each in found)
    raise typer.Exit(CHECK_FAILED if stale else COULD_NOT_RUN if stored.problems or not found else 0)


def _runs(place: Place, project: str, table: str) -> Sequence[Run]:
    """Of the ledger; of Feast's registry where the ledger is so new that no run of the view has finished in it."""
    from trueup.stores.registry_ledger import RegistryLedger

    found = place.online_ledger.runs(project, table)
    if any(run.finished_at is not None for run in found):
        return found
    return RegistryLedger.of(place.store).runs(project, table)


def _row(each: ViewFreshness) -> dict[str, str]:
    from trueup.instants import format_duration

    online = each.online
    return {
        "view": each.view,
        "": "fresh" if each.fresh else "STALE",
        "last run read until": _minute(each.known_at),
        "newest event (UTC)": _minute(online.newest) if online.listed else "?",
        "entities": f"{online.entities:,}{'' if online.whole else '+'}" if online.listed else "?",
        "expired": f"{online.expired:,}" if online.listed else "?",
        "cadence": format_duration(each.cadence) if each.cadence else "-",
        "TTL": format_duration(each.ttl) if each.ttl is not None else "-",
    }


def _minute(instant: datetime | None) -> str:
    return "never" if instant is None else f"{instant:%Y-%m-%d %H:%M}"
