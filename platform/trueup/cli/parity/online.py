"""`trueup parity online`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import LedgerPath, Repo, instant
from trueup.cli.parity.place import Config, FailOn, Place, Sample
from trueup.cli.parity.show import Outputs, show, with_outputs
from trueup.console import step

if TYPE_CHECKING:
    from datetime import datetime

    from trueup.contracts.stored import StoredViews
    from trueup.parity.evidence.models import Progress
    from trueup.parity.report import Report
    from trueup.stores.online_read import OnlineRows


@with_outputs
def online(
    service: Annotated[
        str | None, typer.Argument(help="A feature service: its views alone, with the features it needs of them.")
    ] = None,
    repo: Repo = None,
    views: Annotated[list[str] | None, typer.Option("--view", help="A feature view; all by default.")] = None,
    now: Annotated[
        str | None, typer.Option(help="Read as of this instant; default: the online store's `now`, else the clock.")
    ] = None,
    sample: Sample = 1.0,
    ledger: LedgerPath = None,
    fail_on: FailOn = None,
    config: Config = None,
    *,
    outputs: Outputs,
) -> None:
    """Every entity of the sources and of the online store, one against the other, as of the last materialization.

    Works on any Feast repository, unchanged: without a ledger of trueup's, Feast's registry says what was materialized.
    Exits 0 when every value is the same, 1 when one is not, 2 when nothing could be compared.

    Example: trueup parity online --repo feature_repo
    """
    from trueup.instants import utc_now

    place = Place(repo=repo, ledger=ledger, config=config, fail_on=fail_on)
    policy = place.policy  # a mistake in it is said before anything is read
    stored, rows = open_online(place, service, views)
    with step("parity online") as advance:
        result = check_online_store(
            place,
            stored,
            rows,
            now=instant("now", now) or rows.now or utc_now(),
            sample=sample,
            progress=lambda doing: advance(1, doing),
        )
    show(result.under(policy), outputs)


def open_online(place: Place, service: str | None, views: list[str] | None) -> tuple[StoredViews, OnlineRows]:
    """What stands online, and the store, which has answered. Raises StoreError when it does not."""
    from trueup.contracts.stored import stored_views
    from trueup.stores.feast_rows import online_rows_of

    stored = stored_views(place.store, service, views or None)
    rows = online_rows_of(place.store)
    if stored.contract.views:
        rows.reach()
    return stored, rows


def check_online_store(
    place: Place,
    stored: StoredViews,
    rows: OnlineRows,
    *,
    now: datetime,
    sample: float,
    progress: Progress,
    views: Sequence[str] | None = None,
) -> Report:
    """The check as the command line means it. views: of those stored; None: all, and those that cannot be read."""
    from trueup.parity.runs.online import run_online

    result = run_online(
        place.repo,
        stored.contract,
        rows,
        now=now,
        ledger=place.online_ledger,
        views=views,
        tolerances=place.config.tolerances,
        sample=sample,
        left_out=stored.left_out,
        problems=stored.problems if views is None else {},
        progress=progress,
    )
    not_stored = {f"not stored: {kind}": ", ".join(names) for kind, names in stored.not_stored.items()}
    return replace(result, facts={**result.facts, **not_stored})
