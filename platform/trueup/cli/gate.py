"""`trueup gate`: the gate's key, and what it found so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from trueup.cli.options import Json, TrackingUri, print_json, print_table
from trueup.cli.promotion import Key
from trueup.console import output
from trueup.errors import GateError

if TYPE_CHECKING:
    from trueup.gate.history import Move
    from trueup.gate.keys import VerifyKey
    from trueup.gate.standing import Kept

gate = typer.Typer(help="What the gate found, and the key it signs with.", no_args_is_help=True)


@gate.command("key")
def gate_key(
    out: Annotated[Path, typer.Option("--out", help="File of the private key; the public one is PATH.pub beside it.")],
) -> None:
    """Make the Ed25519 key that verdicts are signed with. Servers need the public half alone.

    Example: trueup gate key --out gate.pem
    """
    from trueup.gate.keys import PUBLIC_SUFFIX, new_key

    made = new_key(out)
    output.print(f"key {made.verify_key.id}", markup=False)
    output.print(f"  {out}: private, signs. For `trueup promote`: TRUEUP_GATE_KEY={out}", markup=False, soft_wrap=True)
    output.print(f"  {out}{PUBLIC_SUFFIX}: public, checks. For servers (gate_key).", markup=False, soft_wrap=True)


@gate.command("show")
def gate_show(
    model: Annotated[str, typer.Argument(help="The registered model.")],
    tracking_uri: TrackingUri = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """The verdicts kept with each version, newest first, and every move of an alias that the gate wrote down.

    Without a key, signatures are not checked.

    Example: trueup gate show flights
    """
    from trueup.gate.history import made, read_moves
    from trueup.gate.keys import read_verify_key
    from trueup.gate.standing import read_verdicts
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings

    settings = Settings()
    asked = key or settings.gate_key
    verifying = None if asked is None else read_verify_key(asked)
    tracking = Tracking(tracking_uri or settings.tracking_uri)
    tags = tracking.version_tags(model)
    if not tags:
        tracking.resolve(model, 1)  # says which models there are
    found = {version: read_verdicts(tags[version]) for version in sorted(tags)}
    kept = sorted(
        (each for readable, _ in found.values() for each in readable), key=lambda each: each.verdict.at, reverse=True
    )
    unreadable = [
        {"version": version, "kept_as": each.tag, "problem": each.problem}
        for version, (_, others) in found.items()
        for each in others
    ]
    verdicts = [_verdict(each, verifying) for each in kept]
    moves: list[dict[str, Any]] = []
    for alias in sorted({each.verdict.alias for each in kept}):
        written = read_moves(tags.values(), alias)
        were_made = made(written, tracking.alias(model, alias))
        moves += [_move(move, move in were_made) for move in reversed(written)]
    if as_json:
        said = [{**each.verdict.to_json(), "kept_as": each.tag} for each in kept]
        print_json({"verdicts": said, "unreadable": unreadable, "moves": moves})
        return
    if not verdicts and not unreadable:
        output.print(f"{model}: the gate was never asked.", markup=False)
        return
    print_table(verdicts)
    for each in unreadable:
        output.print(
            f"{model}@{each['version']}: tag {each['kept_as']} is not shown: {each['problem']}",
            markup=False,
            soft_wrap=True,
        )
    if moves:
        output.print()
        print_table(moves)


def _verdict(kept: Kept, key: VerifyKey | None) -> dict[str, str]:
    from trueup.instants import format_instant

    verdict = kept.verdict
    unmet = [item.name for item in verdict.evidence if not item.met]
    return {
        "asked": format_instant(verdict.at),
        "version": str(verdict.version),
        "for": escape(verdict.alias),
        "outcome": verdict.outcome,
        "not passed": escape(", ".join(unmet) or "-"),
        "signature": _signature(kept, key),
    }


def _signature(kept: Kept, key: VerifyKey | None) -> str:
    from trueup.gate.verdict import verify

    if key is None:
        return "not checked"
    try:
        verify(kept.document, key)
    except GateError:
        return "not this key's"
    return "valid"


def _move(move: Move, was_made: bool) -> dict[str, Any]:
    said = move.to_json()
    return {
        "moved": said["at"],
        "alias": move.alias,
        "by": move.kind,
        "from": move.before,
        "to": move.to,
        "made": "yes" if was_made else "no, or moved on by another hand",
    }
