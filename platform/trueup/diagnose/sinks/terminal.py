"""The ledger on a terminal, at most 100 columns wide."""

from __future__ import annotations

from rich.table import Table

from trueup.console import output
from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.sinks.rows import bounds, effect, judged, level, share, split_title, waterfall

_TERMS = 8


def show_ledger(ledger: GapLedger, *, brief: bool = False) -> None:
    """brief: the waterfall and the causes that are claimed, no more."""
    output.print(f"[bold]{ledger.model}@{ledger.version}[/bold]  {ledger.summary}", highlight=False, markup=True)
    output.print()
    output.print(_waterfall(ledger))
    if brief:
        for total in ledger.claimed:
            output.print(f"{total.cause}: {total.sentence}", markup=False, highlight=False)
        return
    output.print()
    output.print(_causes(ledger))
    for step in ledger.steps:
        for split in step.splits:
            if any(term.effect.value for term in split.terms):
                output.print()
                table = _table(f"{step.title}, {split_title(split)}", "effect", "95 % interval", "rows or values")
                for term in split.terms[:_TERMS]:
                    table.add_row(term.name, effect(term.effect), bounds(term.effect), share(term))
                output.print(table)
    output.print()
    for step in ledger.steps:
        for sentence in step.sentences:
            output.print(f"- {sentence}", markup=False, highlight=False)
    for note in ledger.notes:
        output.print(f"- {note}", markup=False, highlight=False)
    for total in ledger.claimed:
        output.print(f"\n{total.cause}: {total.advice}", markup=False, highlight=False)


def _waterfall(ledger: GapLedger) -> Table:
    table = _table("state or step", ledger.metric, "95 % interval", "rows")
    for state, step in waterfall(ledger):
        if state is not None:
            rows = "" if state.rows is None else f"{state.rows:,}"
            table.add_row(f"[bold]{state.title}[/bold]", level(state), bounds(state.estimate, sign=False), rows)
        if step is not None:
            table.add_row(f"  {step.title}", effect(step.effect), bounds(step.effect), "")
    if ledger.gap is not None:
        table.add_row("[bold]gap[/bold]", effect(ledger.gap), bounds(ledger.gap), "")
    return table


def _causes(ledger: GapLedger) -> Table:
    table = _table("cause", "effect", "95 % interval", "")
    for total in ledger.causes:
        table.add_row(total.cause, effect(total.effect), bounds(total.effect), judged(total))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(names):
        table.add_column(name, overflow="fold", justify="left" if at == 0 or not name else "right")
    return table
