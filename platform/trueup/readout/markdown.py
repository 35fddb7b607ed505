"""A read-out as Markdown, for a ticket or a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from trueup.readout.report import Readout
from trueup.readout.shown import Shown, always, head, results


def render_markdown(readout: Readout, *, anyway: bool) -> str:
    """anyway: the results too, though they are withheld."""
    lines = [f"# Experiment {_cell(readout.experiment)}", "", f"**{_cell(head(readout))}**", ""]
    lines += [f"- {_cell(reason)}" for reason in readout.withheld]
    lines += [f"- note: {_cell(warning)}" for warning in readout.warnings]
    for shown in always(readout):
        lines += ["", *_table(shown)]
    if not readout.withheld or anyway:
        if readout.withheld:
            lines += ["", "> Shown anyway. For the reasons above these numbers are not the models' doing alone."]
        for shown in results(readout):
            lines += ["", *_table(shown)]
    return "\n".join(lines) + "\n"


def _table(shown: Shown) -> Iterator[str]:
    yield f"## {_cell(shown.title)}"
    yield ""
    if shown.rows:
        names = list(shown.rows[0])
        yield f"| {' | '.join(_cell(name) or ' ' for name in names)} |"
        yield f"|{'---|' * len(names)}"
        for row in shown.rows:
            yield f"| {' | '.join(_cell(row[name]) for name in names)} |"
    for note in shown.notes:
        yield ""
        yield _cell(note)


def _cell(text: str) -> str:
    for character, escaped in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\n", " ")):
        text = text.replace(character, escaped)
    return text
