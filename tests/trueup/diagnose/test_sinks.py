"""The ledger as a table, as Markdown, as a page and as JSON: the same numbers, what names bring is text, and what is
missing is said."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.golden import ledger_markdown, ledger_schema
from tests.trueup.diagnose.ledgers import every, flights_leaky, hostile, in_pieces, no_outcomes, null
from tests.trueup.diagnose.worlds import facts, holdout, ledger, served, skewed

from trueup.diagnose.facts import Missing
from trueup.diagnose.gap_ledger import Estimate, GapLedger, Split, Term
from trueup.diagnose.sinks import schema
from trueup.diagnose.sinks.html import ledger_section, render_page
from trueup.diagnose.sinks.markdown import render_markdown
from trueup.diagnose.sinks.rows import rounding, shown_terms
from trueup.diagnose.sinks.terminal import render_ledger
from trueup.parity.sinks.words import visible

LEDGERS = every()
every_ledger = pytest.mark.parametrize("found", LEDGERS.values(), ids=LEDGERS)
INCOMPLETE = ledger(facts(replace(holdout(), today=Missing("its sources are gone")), Missing("no outcomes yet")))


def terminal(found: GapLedger) -> str:
    console = Console(width=100, record=True, file=io.StringIO(), emoji=False, highlight=False)
    console.print(render_ledger(found))
    return console.export_text()


def page(found: GapLedger) -> str:
    return render_page([found])


FORMS: tuple[Callable[[GapLedger], str], ...] = (terminal, render_markdown, page)
every_form = pytest.mark.parametrize("form", FORMS, ids=["terminal", "markdown", "html"])


class Elements(HTMLParser):
    """What elements and what text a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers |= {name for name, _ in attrs if name.startswith("on")}

    def handle_data(self, data: str) -> None:
        self.text += data


# ------------------------------------------------------------------ the same numbers in every form


@every_form
def test_every_form_has_each_number_with_its_sign_and_four_digits(form: Callable[[GapLedger], str]) -> None:
    text = form(flights_leaky())
    for said in (
        "0.7802",
        "0.7470",
        "-0.0093",
        "-0.0240",
        "-0.0311 to -0.0169",
        "-0.0333",
        "+0.0133",
        "98,007 of 241,500",
    ):
        assert said in text


@every_form
@every_ledger
def test_a_footnote_stands_where_printed_numbers_do_not_add_up(
    found: GapLedger, form: Callable[[GapLedger], str]
) -> None:
    assert ("rounded one by one" in form(found)) == (rounding(found) is not None)


@every_ledger
def test_without_the_footnote_the_printed_steps_add_up_to_the_printed_gap(found: GapLedger) -> None:
    rows = [re.split(r"(?<!\\)\|", line)[1:3] for line in render_markdown(found).splitlines() if line.startswith("|")]
    cells = [(name.strip().strip("*"), value.strip().strip("*")) for name, value in rows]
    titles = {step.title for step in found.steps}
    steps = [Decimal(value) for name, value in cells if name in titles and value != "-"]
    gap = [Decimal(value) for name, value in cells if name == "gap"]
    if rounding(found) is None and gap:
        assert sum(steps) == gap[0]
    assert len(gap) == (found.gap is not None)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_terms_that_are_put_together_still_add_up(effects: list[float]) -> None:
    split = Split("feature", tuple(Term(f"f{at}", Estimate(effect)) for at, effect in enumerate(effects)))
    shown = shown_terms(split)
    assert len(shown) <= 10
    assert sum(term.effect.value for term in shown) == pytest.approx(sum(effects), abs=1e-12)
    hidden = len(effects) - len(shown) + 1
    assert hidden == 1 or shown[-1].name == f"{hidden} smaller ones"


# ------------------------------------------------------------------ what is missing


@every_form
@pytest.mark.parametrize(
    ("found", "why"),
    [(INCOMPLETE, "no outcomes yet"), (in_pieces(), "its snapshot is gone"), (no_outcomes(), "no outcomes yet")],
    ids=["of a world", "in pieces", "no outcomes"],
)
def test_what_is_missing_says_why_in_every_form(found: GapLedger, why: str, form: Callable[[GapLedger], str]) -> None:
    text = " ".join(form(found).split())
    assert why in text
    assert "Not all was looked at of" in text
    assert "not measured" in text


def test_what_could_not_be_told_apart_is_hatched_and_nothing_else_is() -> None:
    assert page(in_pieces()).count("url(#why-0-hatch)") == 1
    assert page(no_outcomes()).count("url(#why-0-hatch)") == 2
    assert "url(#" not in page(flights_leaky())


# ------------------------------------------------------------------ names


def test_names_are_text_on_the_page() -> None:
    found = Elements(page(hostile()))
    assert not found.tags & {"script", "img"}
    assert not found.handlers
    for name in hostile().notes:
        assert visible(name).replace("`", "") in found.text.replace("`", "")


def test_names_are_no_markup_on_a_terminal() -> None:
    """`[/x]` is what rich takes for the end of a style that never began."""
    text = terminal(hostile())
    assert "[/x]" in text
    assert "[red]" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)


def test_a_mention_a_link_or_html_in_a_name_stays_a_name_in_markdown() -> None:
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", render_markdown(hostile()))
    assert not re.search(r"(?<!\\)[<@\[]", outside)


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_no_name_breaks_a_table_in_markdown(model: str, feature: str) -> None:
    whole = flights_leaky()
    skew = whole.steps[2]
    term = replace(skew.splits[1].terms[0], name=feature)
    only = replace(skew, splits=(replace(skew.splits[1], terms=(term,)),))
    text = render_markdown(replace(whole, model=model, steps=(*whole.steps[:2], only, *whole.steps[3:])))
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {4}


# ------------------------------------------------------------------ forms


@every_ledger
def test_the_terminal_fits_a_hundred_columns(found: GapLedger) -> None:
    assert all(len(line) <= 100 for line in terminal(found).splitlines())


def test_a_brief_one_is_the_waterfall_and_what_is_claimed() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render_ledger(flights_leaky(), brief=True))
    text = console.export_text()
    assert "feature logic: What feature logic did: -0.0240." in text
    assert "late_arrival" not in text


def test_the_markdown_is_the_committed_one() -> None:
    assert ledger_markdown.PATH.read_text(encoding="utf-8") == ledger_markdown.render(), (
        "the form changed: python -m tests.golden.ledger_markdown"
    )


def test_a_section_brings_its_anchor_and_its_style_to_the_report() -> None:
    section = ledger_section(null(), 3)
    assert section.anchor == "why-3"
    assert 'id="why-3"' in section.body
    assert ".waterfall" in section.style


# ------------------------------------------------------------------ JSON


def test_the_committed_schema_is_what_the_types_say() -> None:
    assert ledger_schema.PATH.read_text(encoding="utf-8") == schema.render_schema(), (
        "a type changed: python -m tests.golden.ledger_schema"
    )


@pytest.mark.parametrize(
    "found", [*LEDGERS.values(), INCOMPLETE, ledger(facts(rows=skewed(served())))], ids=[*LEDGERS, "world", "skewed"]
)
def test_every_ledger_is_valid_and_the_schema_names_each_of_its_fields(found: GapLedger) -> None:
    data = found.to_json()
    jsonschema.Draft202012Validator(schema.committed()).validate(data)
    closed = copy.deepcopy(schema.committed())
    for part in (closed, *closed["$defs"].values()):
        part.setdefault("additionalProperties", False)
    jsonschema.Draft202012Validator(closed).validate(data)


def test_a_ledger_that_lacks_a_field_or_has_a_wrong_one_is_not_valid() -> None:
    validator = jsonschema.Draft202012Validator(schema.committed())
    data = null().to_json()
    for change in ({"schema": "trueup.gap-ledger/0"}, {"gap": 5}, {"states": [{"name": "logged"}]}):
        assert not validator.is_valid({**data, **change})
    for name in data:
        assert not validator.is_valid({key: value for key, value in data.items() if key != name})
