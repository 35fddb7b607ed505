"""The ledger as Markdown, for a ticket or a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.sinks.rows import bounds, effect, judged, level, share, split_title, waterfall


def render_markdown(ledger: GapLedger) -> str:
    return "\n".join(_lines(ledger)) + "\n"


def _lines(ledger: GapLedger) -> Iterator[str]:
    yield f"# {_text(ledger.model)}@{_text(ledger.version)}: offline to online"
    yield ""
    yield f"**{_text(ledger.summary)}**"
    yield ""
    yield from _table(("state or step", ledger.metric, "95 % interval", "rows"), list(_waterfall(ledger)))
    yield ""
    yield from _table(
        ("cause", "effect", "95 % interval", ""),
        [(t.cause, effect(t.effect), bounds(t.effect), judged(t)) for t in ledger.causes],
    )
    for step in ledger.steps:
        for split in step.splits:
            if any(term.effect.value for term in split.terms):
                yield ""
                yield from _table(
                    (f"{step.title}, {split_title(split)}", "effect", "95 % interval", "rows or values"),
                    [(term.name, effect(term.effect), bounds(term.effect), share(term)) for term in split.terms],
                )
    yield ""
    for step in ledger.steps:
        for sentence in step.sentences:
            yield f"- {_text(sentence)}"
    for note in ledger.notes:
        yield f"- {_text(note)}"
    for total in ledger.claimed:
        yield ""
        yield f"**{total.cause}**: {_text(total.advice)}"


def _waterfall(ledger: GapLedger) -> Iterator[tuple[str, ...]]:
    for state, step in waterfall(ledger):
        if state is not None:
            rows = "" if state.rows is None else f"{state.rows:,}"
            yield f"**{_text(state.title)}**", level(state), bounds(state.estimate, sign=False), rows
        if step is not None:
            yield _text(step.title), effect(step.effect), bounds(step.effect), ""
    if ledger.gap is not None:
        yield "**gap**", effect(ledger.gap), bounds(ledger.gap), ""


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(_text(name) or ' ' for name in names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(cell if cell.startswith('**') else _text(cell) for cell in row)} |"


def _text(text: str) -> str:
    for character, escaped in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\n", " ")):
        text = text.replace(character, escaped)
    return text
