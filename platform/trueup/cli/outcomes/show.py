"""`trueup outcomes show`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli.options import Json, instant, print_json, print_table
from trueup.cli.outcomes.importing import OutcomesFolder
from trueup.cli.parity.place import LogPath
from trueup.console import step
from trueup.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from trueup.eventlog.outcomes.kept import Outcomes


def show(
    outcome: Annotated[list[str] | None, typer.Option("--outcome", help="Only this one; repeatable.")] = None,
    delay: Annotated[str, typer.Option(help="Label delay: how long after a request its outcome may come.")] = "0s",
    outcomes: OutcomesFolder = None,
    log: LogPath = None,
    now: Annotated[str | None, typer.Option(help="What is known by this instant; default: the present.")] = None,
    as_json: Json = False,
) -> None:
    """What was imported, and how much of each model's served rows has its outcome.

    A row whose delay is not over is immature, or early if its outcome came all the same; one without an outcome after
    that is missing. Neither is a negative.

    Example: trueup outcomes show --outcome late --delay 24h
    """
    from trueup.eventlog.outcomes.kept import known_outcomes, read_outcomes
    from trueup.instants import parse_duration, utc_now
    from trueup.settings import Settings

    settings = Settings()
    folder = outcomes or settings.outcomes
    names = outcome or known_outcomes(folder)
    if not names:
        raise InputError(
            "outcomes",
            f"outcomes: nothing was imported into {folder}.",
            hint="trueup outcomes import SOURCE --outcome X",
        )
    present = instant("now", now) or utc_now()
    found = []
    with step("outcomes") as advance:
        for name in names:
            advance(1, name)
            found.append(
                _shown(
                    read_outcomes(folder, name), log or settings.log_dir, present, parse_duration(delay, field="delay")
                )
            )
    if as_json:
        print_json(found)
        return
    print_table(
        [
            {
                "outcome": each["outcome"],
                "values": f"{each['values']:,}",
                "mean": f"{each['mean']:.4f}",
                "known from": each["known_from"],
                "to": each["known_to"],
                "orphans": "-" if each["log"] is None else f"{each['log']['orphans']:,}",
                "duplicates": "-" if each["log"] is None else f"{each['log']['duplicates']:,}",
                "restated": "-" if each["log"] is None else f"{each['log']['restated']:,}",
            }
            for each in found
        ]
    )
    rows = [
        {"outcome": each["outcome"], **{name: f"{n:,}" if isinstance(n, int) else n for name, n in model.items()}}
        for each in found
        for model in each["models"]
    ]
    if rows:
        from trueup.console import output

        output.print()
        print_table(rows)


def _shown(outcomes: Outcomes, log: Path, now: datetime, delay: timedelta) -> dict[str, Any]:
    import pyarrow.compute as pc

    from trueup.eventlog.outcomes.fit import fit_to_log, labelled_requests
    from trueup.instants import format_instant

    known = outcomes.table.column("known_at")
    labelled = labelled_requests(log, outcomes, now=now, delay=delay, absent="unknown")
    return {
        "outcome": outcomes.name,
        "values": outcomes.table.num_rows,
        "mean": pc.mean(outcomes.table.column("value")).as_py(),
        "known_from": format_instant(pc.min(known).as_py()),
        "known_to": format_instant(pc.max(known).as_py()),
        "log": fit_to_log(log, outcomes, now=now),
        "models": [] if labelled is None else list(labelled.by_model()),
    }
