"""What a person sees while something runs: one line a step, a bar where there is a count.

Everything goes to standard error, so that `--json` on standard output stays clean. On a terminal the bars
move; in a log file each step is one line when it is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


class Advance(Protocol):
    """Moves the step on. count: done since the last call. now: what is being done from here on (None: as before)."""

    def __call__(self, count: int, now: str | None = None, /) -> None: ...


errors = Console(stderr=True, highlight=False, emoji=False)
output = Console(highlight=False, emoji=False, width=100)


@contextmanager
def step(title: str, total: int | None = None) -> Iterator[Advance]:
    """One step of a longer run. `total`: how many calls of the bar make it full (None: not known)."""
    started = time.monotonic()
    if errors.is_terminal:
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28)]
        if total is not None:
            columns.append(MofNCompleteColumn())
        columns += [TimeElapsedColumn(), TextColumn("[dim]{task.fields[detail]}")]
        with Progress(*columns, console=errors, transient=True) as progress:
            task = progress.add_task(title, total=total, detail="")

            def advance(count: int, now: str | None = None, /) -> None:
                progress.advance(task, count)
                if now is not None:
                    progress.update(task, detail=now)

            yield advance
    else:
        yield _quiet
    errors.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")


def _quiet(count: int, now: str | None = None, /) -> None:
    """Where no terminal watches."""
