"""`trueup outcomes show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli.options import Json, instant, print_json, print_table
from trueup.cli.outcomes.importing import OutcomesFolder
from trueup.cli.parity.place import LogPath
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

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
    wait = parse_duration(delay, field="delay")
    found = []
    with step("outcomes") as advance:
        for name in names:
            advance(1, name)
            found.append(_shown(read_outcomes(folder, name), log or settings.log_dir, present, wait))
    if as_json:
        print_json(found)
        return
    for each in found:
        output.print(_sentence(each), soft_wrap=True)
    fits = [{"outcome": each["outcome"], **each["log"]} for each in found if each["log"] is not None]
    rows = [{"outcome": each["outcome"], **model} for each in found for model in each["models"]]
    for table in (fits, rows):
        if table:
            output.print()
            print_table([{name: f"{n:,}" if isinstance(n, int) else n for name, n in row.items()} for row in table])
    if not fits:
        output.print(f"There is no served log at {log or settings.log_dir} to compare them with yet.", soft_wrap=True)


def _sentence(each: dict[str, Any]) -> str:
    served = ""
    if each["served_from"] is not None:
        served = f", of rows served {each['served_from']} to {each['served_to']}"
    known = f"known {each['known_from']} to {each['known_to']}"
    return f"{each['outcome']}: {each['values']:,} values, mean {each['mean']:.4g}, {known}{served}"


def _shown(outcomes: Outcomes, log: Path, now: datetime, delay: timedelta) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from trueup.eventlog.outcomes.labelled_log import COPIES, FUTURE, fit_to_log, labelled_log
    from trueup.eventlog.records import LOG_TIMESTAMP
    from trueup.instants import format_instant

    known = outcomes.table.column("known_at")
    fit = fit_to_log(log, outcomes, now=now)
    if fit is not None:
        fit |= {COPIES: 0, FUTURE: 0}
    models: dict[tuple[Any, Any], dict[str, Any]] = {}
    served: list[datetime] = []
    for _, labelled in labelled_log(log, outcomes, now=now, delay=delay, absent="unknown", columns=()):
        if fit is not None:
            fit |= {name: fit[name] + labelled.counts[name] for name in (COPIES, FUTURE)}
        at = labelled.rows.column(LOG_TIMESTAMP).filter(pa.array(np.isfinite(labelled.values)))
        served += [moment for moment in pc.min_max(at).as_py().values() if moment is not None]
        for row in labelled.by_model():
            mine = models.setdefault((row["model"], row["version"]), dict.fromkeys(row, 0))
            mine |= {name: mine[name] + n if isinstance(n, int) else n for name, n in row.items()}
    return {
        "outcome": outcomes.name,
        "values": outcomes.table.num_rows,
        "mean": pc.mean(outcomes.table.column("value")).as_py(),
        "known_from": format_instant(pc.min(known).as_py()),
        "known_to": format_instant(pc.max(known).as_py()),
        "served_from": format_instant(min(served)) if served else None,
        "served_to": format_instant(max(served)) if served else None,
        "log": fit,
        "models": [models[name] for name in sorted(models)],
    }
