"""The ledger as Markdown, byte for byte: whole, and in pieces. Regenerate it when the form changes:

python -m tests.golden.ledger_markdown
"""

from __future__ import annotations

from pathlib import Path

from tests.trueup.diagnose.ledgers import flights_leaky, in_pieces

from trueup.diagnose.sinks.markdown import render_markdown

PATH = Path(__file__).with_name("ledger.md")


def render() -> str:
    return "\n".join(render_markdown(ledger) for ledger in (flights_leaky(), in_pieces()))


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
