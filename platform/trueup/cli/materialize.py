"""`trueup materialize`: the online store brought up to date, and written down."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.cli.options import Json, Repo, instant, print_json, print_table
from trueup.console import step
from trueup.instants import format_instant


def materialize(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views; all by default.")] = None,
    repo: Repo = None,
    start: Annotated[str | None, typer.Option(help="First event time, ISO 8601; default: end minus the TTL.")] = None,
    end: Annotated[str | None, typer.Option(help="Last event time; default: now.")] = None,
    known_at: Annotated[str | None, typer.Option(help="Leave out rows created later; default: now.")] = None,
    incremental: Annotated[
        bool, typer.Option(help="Only rows that became known since the last run in the ledger.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="First delete what is online of each view: after going back to older data. Until a view is written "
            "again, reads miss it.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the online store up to date, and write down what was done when.

    Feast's own materialization, through the repository's batch engine, plus a row in the ledger that
    `known_at = "served"` reads.

    Example: trueup materialize weather origin_departures --incremental
    """
    from feast import FeatureStore

    from trueup.settings import Settings, feature_repo
    from trueup.stores.materialize import materialize as run

    store = FeatureStore(repo_path=str(feature_repo(repo or Settings().repo)))
    with step("materialize") as advance:
        runs = run(
            store,
            views=views,
            start=instant("start", start),
            end=instant("end", end),
            known_at=instant("known_at", known_at),
            incremental=incremental,
            replace=replace,
            progress=lambda view: advance(1, view),
        )
    rows = [
        {
            "view": done.view,
            "rows": done.rows,
            "event_start": format_instant(done.event_start),
            "event_end": format_instant(done.event_end),
            "known_at": format_instant(done.known_at),
        }
        for done in runs
    ]
    print_json(rows) if as_json else print_table(rows)
