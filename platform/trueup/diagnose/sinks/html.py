"""The ledger in HTML: a section of the parity report, or a page of its own. Nothing outside is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trueup.diagnose.gap_ledger import GapLedger, Split, Term
from trueup.diagnose.sinks.rows import bounds, effect, judged, share, split_title
from trueup.diagnose.sinks.waterfall import draw
from trueup.parity.sinks.html import Section, page_style
from trueup.parity.sinks.words import number, visible, when


def ledger_section(ledger: GapLedger, index: int = 0) -> Section:
    """index: tells several of one page apart."""
    anchor = f"why-{index}"
    body = _environment().get_template("ledger.html.j2").render(anchor=anchor, ledger=ledger, drawn=draw(ledger))
    return Section(anchor, f"Why: {ledger.model}", Markup(body), _style())  # noqa: S704 (our own template, escaped)


def render_page(ledgers: Sequence[GapLedger]) -> str:
    """A document of one section a ledger. ledgers: at least one."""
    sections = [ledger_section(ledger, index) for index, ledger in enumerate(ledgers)]
    style = Markup(f"{page_style()}\n{_style()}")  # noqa: S704 (our own files)
    first = next((ledger for ledger in ledgers if ledger.claimed), ledgers[0])
    template = _environment().get_template("page.html.j2")
    return template.render(ledgers=ledgers, first=first, sections=sections, style=style)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trueup.diagnose.sinks", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "instant": when}
    environment.globals |= {
        "effect": effect,
        "bounds": bounds,
        "judged": judged,
        "share": share,
        "split_title": split_title,
        "width": _width,
    }
    return environment


def _finalize(value: object) -> object:
    """Characters that reorder a line would reach past their own element."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _width(term: Term, split: Split) -> float:
    """Percent of the split's longest bar."""
    longest = max(abs(each.effect.value) for each in split.terms)
    return round(100 * abs(term.effect.value) / longest, 2) if longest else 0.0


def _style() -> str:
    return files("trueup.diagnose.sinks").joinpath("page", "ledger.css").read_text(encoding="utf-8")
