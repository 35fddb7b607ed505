"""The ledger as a table, as Markdown and as a page: what names bring is text, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.trueup.diagnose.worlds import facts, holdout, ledger, served, skewed

from trueup.console import output
from trueup.diagnose.facts import Missing
from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.sinks.html import ledger_section, render_page
from trueup.diagnose.sinks.markdown import render_markdown
from trueup.diagnose.sinks.terminal import show_ledger
from trueup.diagnose.sinks.waterfall import draw

HOSTILE = "<script>alert(1)</script>|\n`x`"


def hostile() -> GapLedger:
    found = ledger(replace(facts(rows=skewed(served())), model=HOSTILE), replicates=100)
    return replace(found, facts={HOSTILE: HOSTILE}, notes=(HOSTILE,))


def incomplete() -> GapLedger:
    return ledger(facts(replace(holdout(), today=Missing("its sources are gone")), Missing("no outcomes yet")))


def test_names_are_text_on_the_page_and_in_markdown() -> None:
    page = render_page([hostile()])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
    text = render_markdown(hostile())
    assert "<script" not in text
    assert "\\|" in text


def test_the_bars_lead_from_one_state_to_the_next_and_lie_within_the_track() -> None:
    found = ledger(facts(rows=skewed(served(1000))))
    bars = draw(found).bars
    states = [bar for bar in bars if bar.kind == "level"]
    steps = [bar for bar in bars if bar.kind != "level"]
    assert len(states) == len(steps) + 1
    for before, step, after in zip(states, steps, states[1:], strict=False):
        assert {round(step.left, 1), round(step.left + step.width, 1)} == {
            round(before.left, 1),
            round(after.left, 1),
        } or step.width == pytest.approx(0, abs=0.1)
    assert all(0 <= bar.left <= 100 and bar.left + bar.width <= 100.01 for bar in bars)
    kinds = {bar.title: bar.kind for bar in steps}
    assert kinds["feature skew"] == "loss"
    assert kinds["serving"] == "same"


def test_what_is_missing_is_hatched_and_says_why_everywhere() -> None:
    found = incomplete()
    assert "no outcomes yet" in render_page([found])
    assert "no outcomes yet" in render_markdown(found)
    with output.capture() as captured:
        show_ledger(found)
    assert "no outcomes yet" in captured.get().replace("\n", " ")


def test_the_terminal_fits_a_hundred_columns() -> None:
    with output.capture() as captured:
        show_ledger(ledger(facts(rows=skewed(served()))))
    assert all(len(line.rstrip()) <= 100 for line in captured.get().splitlines())


def test_a_section_brings_its_anchor_and_its_style_to_the_report() -> None:
    section = ledger_section(ledger(facts()), 3)
    assert section.anchor == "why-3"
    assert 'id="why-3"' in section.body
    assert ".waterfall" in section.style
