"""What `readout`, `power` and `aa` share: an experiment's facts from the command line's options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import instant
from trueup.cli.parity.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from trueup.parity.report import Report
    from trueup.readout.facts import ReadoutFacts

OutcomesPath = Annotated[
    Path | None, typer.Option("--outcomes", help="Imported outcomes [TRUEUP_OUTCOMES, default: build/outcomes].")
]
Since = Annotated[str | None, typer.Option(help="Rows from this instant on; default: the experiment's start.")]
Until = Annotated[str | None, typer.Option(help="Rows before this instant; default: the experiment's end.")]
Now = Annotated[str | None, typer.Option(help="Outcomes known by this instant count; default: the present.")]


def facts_of(
    place: Place,
    file: Path,
    *,
    outcomes: Path | None,
    since: str | None,
    until: str | None,
    now: str | None,
    segments: Sequence[str] = (),
    parity: bool = False,
    progress: Callable[[str], None],
) -> ReadoutFacts:
    from trueup.experiments.toml import load_experiment
    from trueup.instants import utc_now
    from trueup.readout.evidence import gather

    design = load_experiment(file)
    start, end = instant("since", since) or design.start, instant("until", until) or design.end
    present = instant("now", now) or utc_now()

    def run(models: Sequence[str]) -> Report:
        return _parity(place, models, start, end, present, progress)

    return gather(
        design,
        log=place.log,
        outcomes=outcomes or place.settings.outcomes,
        now=present,
        since=start,
        until=end,
        segments=segments,
        parity=run if parity else None,
        progress=progress,
    )


def _parity(
    place: Place,
    models: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    now: datetime,
    progress: Callable[[str], None],
) -> Report:
    from trueup.cli.parity.served import check_served_log

    return check_served_log(
        place,
        service=None,
        columns=None,
        start=start,
        end=end,
        models=list(models),
        rule=None,
        sample=1.0,
        now=now,
        progress=progress,
    )
