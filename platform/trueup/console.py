"""What a person sees while something runs: one line a step, a bar where there is a count.

Everything goes to standard error, so that `--json` on standard output stays clean. On a terminal the bars
move; in a log file each step is one line when it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Advance = Callable[[int, str | None], None]
"""Called with how many are done since the last call, and what is being done now (None: as before)."""

errors = Console(stderr=True, highlight=False)
output = Console(highlight=False, width=100)


@contextmanager
def step(title: str, total: int | None = None) -> Iterator[Advance]:
    """One step of a longer run. `total`: how many calls of the bar make it full (None: not known)."""
    started = time.monotonic()
    if errors.is_terminal:
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28)]
        counted = [MofNCompleteColumn()] if total is not None else []
        with Progress(
            *columns, *counted, TimeElapsedColumn(), TextColumn("[dim]{task.fields[detail]}"), console=errors, transient=True
        ) as progress:
            task = progress.add_task(title, total=total, detail="")

            def advance(count: int, now: str | None = None) -> None:
                if now is not None:
                    progress.update(task, advance=count, detail=now)
                else:
                    progress.advance(task, count)

            yield advance
    else:
        yield lambda _count, _now=None: None
    errors.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")
