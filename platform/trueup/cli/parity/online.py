"""`trueup parity online`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import LedgerPath, Repo, instant
from trueup.cli.parity.show import Outputs, show, with_outputs
from trueup.console import step

if TYPE_CHECKING:
    from feast import FeatureStore

    from trueup.parity.report import Report as ParityReport
    from trueup.stores.ledger import Ledger


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
    sample: Annotated[
        float, typer.Option(help="Share of the entities, by the hash of their keys: 0.1 is a part of 0.2.")
    ] = 1.0,
    ledger: LedgerPath = None,
    *,
    outputs: Outputs,
) -> None:
    """Every entity of the sources and of the online store, one against the other, as of the last materialization.

    Works on any Feast repository, unchanged: without a ledger of trueup's, Feast's registry says what was materialized.
    Exits 0 when every value is the same, 1 when one is not, 2 when nothing could be compared.

    Example: trueup parity online --repo feature_repo
    """
    result = check_online_store(repo, service, views=views, now=now, sample=sample, ledger=ledger)
    show(result, outputs)


def check_online_store(
    repo: Path | None,
    service: str | None,
    *,
    views: list[str] | None = None,
    now: str | None = None,
    sample: float = 1.0,
    ledger: Path | None = None,
) -> ParityReport:
    """The check as the command line means it: settings and the repository say the rest."""
    from trueup.contracts.stored import stored_views
    from trueup.instants import utc_now
    from trueup.parity.runs.online import run_online
    from trueup.settings import Settings, feature_repo
    from trueup.stores.feast_rows import online_rows_of, open_store

    folder = feature_repo(repo or Settings().repo)
    store = open_store(folder)
    stored = stored_views(store, service, views or None)
    rows = online_rows_of(store)
    if stored.contract.views:
        rows.reach()
    with step("parity online") as advance:
        result = run_online(
            folder,
            stored.contract,
            rows,
            now=instant("now", now) or rows.now or utc_now(),
            ledger=_ledger(store, ledger),
            sample=sample,
            left_out=stored.left_out,
            problems=stored.problems,
            progress=lambda doing: advance(1, doing),
        )
    not_stored = {f"not stored: {kind}": ", ".join(names) for kind, names in stored.not_stored.items()}
    return replace(result, facts={**result.facts, **not_stored})


def _ledger(store: FeatureStore, path: Path | None) -> Ledger:
    """The one that is named, or the repository's own; where it keeps none, what Feast's registry knows."""
    from trueup.settings import Settings
    from trueup.stores.ledger import Ledger
    from trueup.stores.ledger_engine import LedgerEngine, ledger_of
    from trueup.stores.registry_ledger import RegistryLedger

    if named := path or Settings().ledger:
        return Ledger(named)
    own = ledger_of(store.config)
    engine = store.config.batch_engine_config
    kind = str(engine.get("type", "")) if isinstance(engine, dict) else str(getattr(engine, "type", engine))
    if own.path.exists() or kind.endswith(LedgerEngine.__name__):
        return own
    return RegistryLedger.of(store)
