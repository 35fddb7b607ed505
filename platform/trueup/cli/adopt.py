"""`trueup adopt`: a card for a model that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli.options import Datasets, Json, Repo, TrackingUri, datasets_folder, print_json
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from trueup.contracts.contract import FeatureContract
    from trueup.instants import AsOfRule
    from trueup.models.tracking import Tracking


def adopt(
    source: Annotated[
        str, typer.Argument(help="A scikit-learn model: a .skops file, or a registered one (NAME@ALIAS, NAME/VERSION).")
    ],
    name: Annotated[str, typer.Option("--name", help="The registered model it becomes a version of.")],
    service: Annotated[str, typer.Option("--service", help="The feature service that has its inputs.")],
    known_at: Annotated[
        str,
        typer.Option(
            "--known-at",
            metavar="RULE",
            help="What its training could see, as far as you know: served, label, unbounded.",
        ),
    ],
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="ID", help="The snapshot it was trained from, if you know.")
    ] = None,
    repo: Repo = None,
    tracking_uri: TrackingUri = None,
    datasets: Datasets = None,
    as_json: Json = False,
) -> None:
    """Give a model that trueup did not train a card, so that it can be served and asked about.

    Its features are taken from the registry as they are now, and it has to predict them. What made it stays unknown,
    and the card says so: it cannot be reproduced, and the gate says "not known: adopted" where it asks for that. No
    alias moves.

    Example: trueup adopt fraud.skops --name fraud --service fraud_v2 --known-at served
    """
    from trueup.instants import AsOfRule

    rule = AsOfRule(known_at)  # type: ignore[arg-type]  # raises InputError for another word

    from feast import FeatureStore

    from trueup.contracts.extract import extract_contract
    from trueup.instants import format_instant, utc_now
    from trueup.models.adoption import NOT_KNOWN, example_matrix
    from trueup.models.adoption import adopt as with_card
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings, feature_repo

    settings = Settings()
    uri = tracking_uri or settings.tracking_uri
    tracking = Tracking(uri)
    tracking.check()
    with step(f"adopt {source}") as advance:
        contract = extract_contract(FeatureStore(repo_path=str(feature_repo(repo or settings.repo))), service)
        named = None
        if snapshot is not None:
            named, rule = _snapshot(snapshot, datasets_folder(datasets, uri), contract, rule)
        estimator, said = _estimator(source, tracking)
        bundle = with_card(estimator, contract, rule, name=name, source=said, snapshot=named)
        advance(1, "MLflow")
        at = utc_now()
        found = tracking.adopt(bundle, example_matrix(bundle), at=at)
    result: dict[str, Any] = {
        "model": found.name,
        "version": found.version,
        "run_id": found.run_id,
        "adopted": said,
        "at": format_instant(at),
        "feature_service": service,
        "contract_hash": contract.hash,
        "known_at": rule.known_at,
        "inputs": list(bundle.card.inputs),
        "snapshot": bundle.card.snapshot,
        "not_known": list(NOT_KNOWN),
    }
    if as_json:
        print_json(result)
        return
    output.print(f"{found} is {said}, for {service}@{contract.hash[:12]}. No alias moved.", markup=False)
    output.print(f"Not known, so nothing can prove it: {', '.join(NOT_KNOWN)}. Taken on trust: known_at {known_at}.")


def _estimator(source: str, tracking: Tracking) -> tuple[Any, str]:
    """The estimator, and where it came from as its card says it: a file by its name and digest, never a path."""
    from trueup.hashing import digest_bytes
    from trueup.models.tracking import load_estimator

    path = Path(source)
    if path.is_file():
        content = path.read_bytes()
        return load_estimator(content, path.name), f"{path.name} (sha256 {digest_bytes(content)[:12]})"
    ref = source.removeprefix("models:/")
    if "@" not in ref and not ref.rpartition("/")[2].isdecimal():
        raise InputError(
            "source", f"source: there is no file {source}, and it is no registered model (NAME@ALIAS or NAME/VERSION)."
        )
    found = tracking.resolve(ref)
    return tracking.load_others_estimator(f"{found.name}/{found.version}"), str(found)


def _snapshot(ref: str, root: Path, contract: FeatureContract, rule: AsOfRule) -> tuple[tuple[str, str], AsOfRule]:
    """Its id and content, and its rule with the instant it is pinned to. Raises InputError when it is of other features
    or another rule."""
    from trueup.datasets.snapshot import open_snapshot

    manifest = open_snapshot(ref, root).manifest
    if manifest.contract.hash != contract.hash:
        raise InputError(
            "snapshot",
            f"snapshot {manifest} is of {manifest.contract.service}@{manifest.contract.hash[:12]}, the registry has "
            f"{contract.service}@{contract.hash[:12]}: it was not trained from that on these features.",
        )
    if manifest.spec.rule.known_at != rule.known_at:
        raise InputError(
            "known_at", f"known_at: snapshot {manifest} was read as {manifest.spec.rule.known_at}, not {rule.known_at}."
        )
    return (manifest.id, manifest.content), manifest.spec.rule
