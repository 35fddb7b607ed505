"""`trueup contract`: what a feature service means, and what changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import CHECK_FAILED, Json, Repo, TrackingUri, print_json, print_table
from trueup.console import output

if TYPE_CHECKING:
    from trueup.contracts.contract import FeatureContract

contract = typer.Typer(help="What a feature service means, hashed part by part.", no_args_is_help=True)


@contract.command("show")
def contract_show(
    service: Annotated[str, typer.Argument(help="A feature service of the repository.")],
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """What a feature service means now: its parts and their hashes.

    Example: trueup contract show flights_v1
    """
    live = _live_contract(service, repo)
    if as_json:
        print_json(live.to_json())
        return
    output.print(f"{live.service}@{live.hash[:12]}  {len(live.columns)} features of {len(live.views)} views")
    print_table([{"part": part, "hash": value[:12]} for part, value in live.parts.items()])


@contract.command("diff")
def contract_diff(
    model: Annotated[str, typer.Argument(help="A registered model: NAME@ALIAS or NAME/VERSION.")],
    repo: Repo = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """What changed between the contract a model was trained under and the registry. Exits 1 if anything did.

    Example: trueup contract diff flights@champion
    """
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings

    card = Tracking(tracking_uri or Settings().tracking_uri).load_card(model)
    differences = card.contract.diff(_live_contract(card.contract.service, repo))
    rows = [{"part": found.part, "change": found.detail} for found in differences]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        output.print(f"{model}: its contract is the registry's ({card.contract.service}@{card.contract.hash[:12]}).")
    if rows:
        raise typer.Exit(CHECK_FAILED)


def _live_contract(service: str, repo: Path | None) -> FeatureContract:
    from feast import FeatureStore

    from trueup.contracts.extract import extract_contract
    from trueup.settings import Settings, feature_repo

    return extract_contract(FeatureStore(repo_path=str(feature_repo(repo or Settings().repo))), service)
