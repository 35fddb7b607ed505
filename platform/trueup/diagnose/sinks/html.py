"""The ledger in HTML: a section of the parity report, or a page of its own. Nothing outside is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.sinks.parts import draw_causes, draw_split
from trueup.diagnose.sinks.rows import effect, metric_title, not_looked_at, rounding, split_title, splits
from trueup.diagnose.sinks.waterfall import draw
from trueup.parity.sinks.html import Section, page_style
from trueup.parity.sinks.words import number, visible, when


def ledger_section(ledger: GapLedger, index: int = 0) -> Section:
    """index: tells several of one page apart."""
    anchor = f"why-{index}"
    body = (
        _environment()
        .get_template("ledger.html.j2")
        .render(
            anchor=anchor,
            ledger=ledger,
            metric=metric_title(ledger),
            drawn=draw(ledger),
            causes=draw_causes(ledger),
            splits=[(step, split, draw_split(ledger, split)) for step, split in splits(ledger)],
            missing=not_looked_at(ledger),
            footnote=rounding(ledger),
        )
    )
    title = f"Why: {ledger.model}@{ledger.version}"
    return Section(anchor, title, Markup(body), _style())  # noqa: S704 (our own template, escaped)


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
    environment.filters |= {"number": number, "instant": when, "sentence": _sentence}
    environment.globals |= {"effect": effect, "split_title": split_title}
    return environment


def _finalize(value: object) -> object:
    """Characters that reorder a line would reach past their own element."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _sentence(text: str) -> Markup:
    """Text in its own direction; what stands between backticks is code."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:
        return Markup("<bdi>{}</bdi>").format(visible(text))
    pieces = (Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts))
    return Markup("<bdi>{}</bdi>").format(Markup("").join(pieces))


def _style() -> str:
    return files("trueup.diagnose.sinks").joinpath("page", "ledger.css").read_text(encoding="utf-8")
