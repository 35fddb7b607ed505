"""The ledger on a terminal, at most 100 columns wide.

Names come from data: none is markup, and characters that would move the cursor or reorder the line are written out.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trueup.console import output
from trueup.diagnose.gap_ledger import GapLedger, Split, Step
from trueup.diagnose.sinks.rows import (
    bounds,
    effect,
    judged,
    level,
    metric_title,
    not_looked_at,
    rounding,
    share,
    shown_terms,
    split_title,
    splits,
    waterfall,
)
from trueup.parity.sinks.words import visible


def show_ledger(ledger: GapLedger, *, brief: bool = False) -> None:
    """brief: the waterfall and the causes that are claimed, no more."""
    output.print(render_ledger(ledger, brief=brief))


def render_ledger(ledger: GapLedger, *, brief: bool = False) -> RenderableType:
    """Print it with a console of at most 100 columns. brief: see `show_ledger`."""
    parts: list[RenderableType] = [
        Text.assemble((visible(f"{ledger.model}@{ledger.version}"), "bold"), "  ", _text(ledger.summary)),
        "",
        _waterfall(ledger),
    ]
    if brief:
        return Group(*parts, *(_text(f"{total.cause}: {total.sentence}") for total in ledger.claimed))
    parts += ["", _causes(ledger)]
    for step, split in splits(ledger):
        parts += ["", _split(step, split)]
    parts += ["", *(_text(f"- {line}") for line in _lines(ledger))]
    for total in ledger.claimed:
        parts += ["", _text(f"{total.cause}: {total.advice}")]
    return Group(*parts)


def _waterfall(ledger: GapLedger) -> Table:
    table = _table("state or step", metric_title(ledger), "95 % interval", "rows")
    for state, step in waterfall(ledger):
        if state is not None:
            rows = "" if state.rows is None else f"{state.rows:,}"
            table.add_row(_text(state.title, "bold"), level(state), bounds(state.estimate, sign=False), rows)
        if step is not None:
            table.add_row(_text(f"  {step.title}"), effect(step.effect), bounds(step.effect), "")
    if ledger.gap is not None:
        table.add_row(_text("gap", "bold"), effect(ledger.gap), bounds(ledger.gap), "")
    return table


def _causes(ledger: GapLedger) -> Table:
    table = _table("cause", "effect", "95 % interval", "found")
    for total in ledger.causes:
        style = "bold" if total.claimed else ""
        table.add_row(_text(total.cause, style), effect(total.effect), bounds(total.effect), _text(judged(total)))
    return table


def _split(step: Step, split: Split) -> Table:
    table = _table(f"{step.title}, {split_title(split)}", "effect", "95 % interval", "rows or values")
    for term in shown_terms(split):
        table.add_row(_text(term.name), effect(term.effect), bounds(term.effect), share(term))
    return table


def _lines(ledger: GapLedger) -> Iterator[str]:
    for step in ledger.steps:
        yield from step.sentences
    for causes, why in not_looked_at(ledger):
        yield f"Not all was looked at of {causes}: {why}."
    yield from ledger.notes
    footnote = rounding(ledger)
    if footnote is not None:
        yield footnote


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(names):
        table.add_column(_text(name), overflow="fold", justify="right" if at else "left")
    return table


def _text(text: str, style: str = "") -> Text:
    return Text(visible(text), style=style)
