"""GitHub's and GitLab's Markdown, in which what comes from data stays text: no mention, no link, no HTML. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from trueup.parity.sinks.words import visible

_PIPE = "\\|"
"""A `|` within a cell, in a code span too."""
_MARKUP = re.compile(r"([\\`*_\[\]<>#~@!$&])")


def table(head: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> str:
    """align: `l` or `r` for each column. Cells are markup already."""
    marks = ["---:" if side == "r" else "---" for side in align]
    return "\n".join(f"| {' | '.join(cell.replace('|', _PIPE) for cell in cells)} |" for cells in [head, marks, *rows])


def code(text: str) -> str:
    """A code span: the fence is longer than any run of backticks in it."""
    shown = visible(text) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def prose(text: str) -> str:
    """Text in which every sign of markup is escaped."""
    return _MARKUP.sub(r"\\\1", visible(text))


def sentence(text: str) -> str:
    """Prose in which what stands between backticks is a code span; whose backticks they are makes no difference."""
    parts = text.split("`")
    if len(parts) % 2 == 0 or "" in parts[1::2]:
        return prose(text)
    return "".join(code(part) if at % 2 else prose(part) for at, part in enumerate(parts))
