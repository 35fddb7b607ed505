"""The ledger as Markdown, for a ticket or a pull request: GitHub's and GitLab's. What comes from data stays text."""

from __future__ import annotations

from collections.abc import Iterator

from trueup.diagnose.gap_ledger import GapLedger
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
from trueup.parity.sinks.gfm import code, prose, sentence, table


def render_markdown(ledger: GapLedger) -> str:
    parts = [
        f"### {code(f'{ledger.model}@{ledger.version}')}: offline to online",
        f"**{sentence(ledger.summary)}**",
        table(["state or step", prose(metric_title(ledger)), "95 % interval", "rows"], "lrrr", _waterfall(ledger)),
        table(["cause", "effect", "95 % interval", "found"], "lrrl", _causes(ledger)),
        *_splits(ledger),
        "\n".join(f"- {line}" for line in _lines(ledger)),
        *(f"**{total.cause}**: {total.advice}" for total in ledger.claimed),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _waterfall(ledger: GapLedger) -> Iterator[list[str]]:
    for state, step in waterfall(ledger):
        if state is not None:
            rows = "" if state.rows is None else f"{state.rows:,}"
            yield [f"**{prose(state.title)}**", level(state), bounds(state.estimate, sign=False), rows]
        if step is not None:
            yield [prose(step.title), effect(step.effect), bounds(step.effect), ""]
    if ledger.gap is not None:
        yield ["**gap**", f"**{effect(ledger.gap)}**", bounds(ledger.gap), ""]


def _causes(ledger: GapLedger) -> Iterator[list[str]]:
    for total in ledger.causes:
        cause = f"**{total.cause}**" if total.claimed else total.cause
        yield [cause, effect(total.effect), bounds(total.effect), judged(total)]


def _splits(ledger: GapLedger) -> Iterator[str]:
    for step, split in splits(ledger):
        head = [prose(f"{step.title}, {split_title(split)}"), "effect", "95 % interval", "rows or values"]
        rows = ([code(term.name), effect(term.effect), bounds(term.effect), share(term)] for term in shown_terms(split))
        yield table(head, "lrrr", rows)


def _lines(ledger: GapLedger) -> Iterator[str]:
    for step in ledger.steps:
        yield from (sentence(said) for said in step.sentences)
    for causes, why in not_looked_at(ledger):
        yield sentence(f"Not all was looked at of {causes}: {why}.")
    yield from (sentence(note) for note in ledger.notes)
    footnote = rounding(ledger)
    if footnote is not None:
        yield footnote
