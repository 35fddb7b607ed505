"""`make ops-check`: everything of operating it that this machine can run for real, part by part -> build/ops.json.

Nothing is installed: what is missing is skipped, with the command that gets it. Exits 1 when a part failed, 2 when none
ran.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.ops.outcome import Outcome

PARTS = ("compose", "rules", "grafana", "alerting", "dashboards", "image", "pipeline")
"""Modules of this folder, each with `check() -> Outcome`, in the order they are run."""

console = Console(width=100, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("build/ops.json"))
    given = parser.parse_args()
    if unknown := [part for part in given.parts if part not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    outcomes = []
    for part in given.parts or PARTS:
        console.print(f"[dim]{part} ...[/dim]")
        started = time.monotonic()
        outcome = _checked(part)
        seconds = time.monotonic() - started
        outcomes.append({**asdict(outcome), "seconds": round(seconds, 1)})
        console.print(f"{part}: {outcome.status} in {seconds:.1f} s")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(outcomes, indent=2) + "\n")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("part", "", "seconds", "what"):
        table.add_column(name, overflow="fold")
    for each in outcomes:
        table.add_row(each["part"], each["status"], f"{each['seconds']:.0f}", each["reason"])
    console.print(table)
    console.print(f"[dim]{given.out}[/dim]")
    statuses = {each["status"] for each in outcomes}
    return 1 if "failed" in statuses else 0 if "passed" in statuses else 2


def _checked(part: str) -> Outcome:
    """A part that ends in an error has failed; the others are run all the same."""
    try:
        outcome: Outcome = importlib.import_module(f"tests.ops.{part}").check()
    except Exception as error:  # noqa: BLE001 - told, and the run fails
        traceback.print_exc()
        return Outcome(part, "failed", f"{type(error).__name__}: {error}")
    return outcome


if __name__ == "__main__":
    sys.exit(main())
