"""`trueup outcomes import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trueup.cli.options import CHECK_FAILED, Json, instant, print_json
from trueup.cli.parity.place import LogPath
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trueup.eventlog.instants import Unit
    from trueup.eventlog.outcomes.importing import Imported

OutcomesFolder = Annotated[
    Path | None, typer.Option("--outcomes", help="Where outcomes are kept [TRUEUP_OUTCOMES, default: build/outcomes].")
]


def import_(
    source: Annotated[
        str, typer.Argument(help="A Parquet, CSV or JSON file, a directory, a glob, or an http(s) address.")
    ],
    outcome: Annotated[str, typer.Option("--outcome", help="What the values are of, such as late or revenue.")],
    value: Annotated[
        str | None, typer.Option(help="Column with the value; default: named as the outcome, or `value`.")
    ] = None,
    request_id: Annotated[
        str | None, typer.Option("--request-id", help="Column with the request's id; default: request_id.")
    ] = None,
    row: Annotated[
        str | None, typer.Option(help="Column with the row's number in its request; default: row, or 0.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="Join by entity instead: KEY or KEY=COLUMN, the names of the request's fields."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="With --key: column with the instant of the request; default: event_timestamp.")
    ] = None,
    within: Annotated[
        str, typer.Option(help="With --key: how long before that instant the row may have been served, such as 30m.")
    ] = "0s",
    known_at: Annotated[
        str | None,
        typer.Option("--known-at", help="Column that says when the outcome was known; default: known_at, or now."),
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Of instants that are numbers since 1970: s, ms, us or ns.")] = None,
    outcomes: OutcomesFolder = None,
    log: LogPath = None,
    now: Annotated[str | None, typer.Option(help="The import's instant; default: the present.")] = None,
    as_json: Json = False,
) -> None:
    """Keep what became of served rows, and say how many of them it fits.

    By request id, or by entity and time: then the newest row of the entity that was served at or before the instant is
    meant, never a later one. What is kept already is not kept again; rows without a value are left out, and counted. An
    address is asked with TRUEUP_OUTCOMES_TOKEN as bearer token, where it is set.

    Exits 0 when it fits served rows or there is no log yet, 1 when it was kept and fits none, 2 when it could not be
    read.

    Example: trueup outcomes import outcomes.parquet --outcome late --request-id flight_id --known-at created
    """
    from trueup.eventlog.outcomes.importing import Columns, import_outcomes
    from trueup.instants import parse_duration, utc_now
    from trueup.settings import Settings

    settings = Settings()
    if unit not in (None, "s", "ms", "us", "ns"):
        raise InputError("unit", f"unit: {unit!r} is not one of s, ms, us, ns.")
    if log is not None and not log.is_dir():
        raise InputError("log", f"log: there is no served log at {log}.", hint="Leave --log out to import without one.")
    columns = Columns(
        value=value,
        request_id=request_id,
        row=row,
        keys=_keys(key),
        at=at,
        within=parse_duration(within, field="within"),
        known_at=known_at,
        unit=cast("Unit | None", unit),
    )
    served = log or settings.log_dir
    token = settings.outcomes_token.get_secret_value() if settings.outcomes_token else None
    with step(f"import {outcome}"):
        found = import_outcomes(
            source,
            outcome,
            columns,
            root=outcomes or settings.outcomes,
            log=served,
            token=token,
            now=instant("now", now) or utc_now(),
        )
    if as_json:
        print_json(found.to_json())
    else:
        for line in _said(found, served):
            output.print(line, soft_wrap=True)
    if found.fit is not None and not found.fit["matched"]:
        raise typer.Exit(CHECK_FAILED)


def _said(found: Imported, log: Path) -> Iterator[str]:
    from trueup.wording import counted

    where = "nothing is new" if found.path is None else f"{found.new:,} new: {found.path}"
    yield f"{counted(found.rows, 'outcome')} by {found.by}, {where}"
    if found.pending:
        yield f"Left out, without a value yet: {counted(found.pending, 'row')}."
    if found.naive:
        yield f"Read as UTC, without a time zone: {counted(found.naive, 'instant')}."
    if found.fit is None:
        yield f"There is no served log at {log} to compare them with yet."
        return
    yield ", ".join(f"{name} {count:,}" for name, count in found.fit.items())
    if not found.fit["matched"]:
        late = found.fit["not yet known"]
        why = f"{late:,} are known only after now" if late else f"no row is one of theirs, by {found.by}"
        yield f"Not one fits a row served in {log}: {why}."


def _keys(given: list[str] | None) -> dict[str, str] | None:
    """`KEY=COLUMN`, or `KEY` for a column of that name."""
    if not given:
        return None
    found = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not name or (equals and not column):
            raise InputError("key", f"key: {text!r} is neither KEY nor KEY=COLUMN.")
        found[name] = column or name
    return found
