"""`trueup parity online`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import LedgerPath, Repo, instant, open_ledger
from trueup.cli.parity.show import Outputs, show, with_outputs
from trueup.console import step
from trueup.errors import InputError

if TYPE_CHECKING:
    pass


@with_outputs
def online(
    service: Annotated[str, typer.Argument(help="The feature service whose views are checked.")],
    repo: Repo = None,
    views: Annotated[list[str] | None, typer.Option("--view", help="A feature view; all by default.")] = None,
    now: Annotated[
        str | None, typer.Option(help="Read as of this instant; default: the online store's `now`, else the clock.")
    ] = None,
    ledger: LedgerPath = None,
    *,
    outputs: Outputs,
) -> None:
    """Every entity of the offline store against the online store, as of the last materialization.

    Exits 0 when every value is the same, 1 when one is not, 2 when nothing could be compared.

    Example: trueup parity online flights_v1
    """
    from feast import FeatureStore

    from trueup.contracts.extract import extract_contract
    from trueup.instants import utc_now
    from trueup.parity.engine import run_online
    from trueup.parity.evidence.online import redis_reader
    from trueup.settings import Settings, feature_repo
    from trueup.stores.redis_connection import connect
    from trueup.stores.redis_online import RedisOnlineStoreConfig

    folder = feature_repo(repo or Settings().repo)
    store = FeatureStore(repo_path=str(folder))
    config = store.config.online_store
    if not isinstance(config, RedisOnlineStoreConfig):
        raise InputError(
            "repo",
            f"online_store: {config.type} is not trueup's Redis store, and `parity online` reads no other yet.",
            hint="Set it to trueup.stores.redis_online.RedisOnlineStore; the data in Redis stay as they are.",
        )
    with step("parity online") as advance:
        result = run_online(
            folder,
            extract_contract(store, service),
            redis_reader(connect(config.connection_string, repo_path=folder)),
            now=instant("now", now) or config.now or utc_now(),
            ledger=open_ledger(folder, ledger),
            views=views,
            progress=lambda doing: advance(1, doing),
        )
    show(result, outputs)
