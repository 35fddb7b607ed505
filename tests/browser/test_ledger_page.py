"""The ledger's page in Chromium: whole, broken and hostile, light and dark, wide and narrow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.browser.pages import CONTRAST, NARROW, OVERFLOW, SHOTS, WIDE, Open
from tests.trueup.diagnose.worlds import facts, holdout, ledger, served, skewed

from trueup.diagnose.facts import Missing
from trueup.diagnose.gap_ledger import GapLedger
from trueup.diagnose.sinks.html import render_page

pytestmark = pytest.mark.browser

HOSTILE = "<script>alert(1)</script> \u202egnp.exe " + "long_" * 40


def _ledgers() -> dict[str, list[GapLedger]]:
    leaky = ledger(facts(rows=skewed(served(1000))))
    missing = ledger(facts(replace(holdout(), today=Missing("its sources are gone")), Missing("no outcomes yet")))
    bad = ledger(replace(facts(rows=skewed(served())), model=HOSTILE), replicates=100)
    return {
        "whole": [ledger(facts()), leaky],
        "missing": [missing],
        "hostile": [replace(bad, facts={HOSTILE: HOSTILE}, notes=(HOSTILE,), counts={HOSTILE: 3})],
    }


PAGES = ("whole", "missing", "hostile")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ledgers")
    for name, found in _ledgers().items():
        (folder / f"{name}.html").write_text(render_page(found), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_opens_alone_and_nothing_reaches_out_of_it(opened: Open, name: str, scheme: str, width: int) -> None:
    page = opened(name, width=width, scheme=scheme)
    assert page.locator("h1").inner_text()
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"ledger-{name}-{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OVERFLOW) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_against_what_is_behind_it(opened: Open, scheme: str) -> None:
    page = opened("missing", scheme=scheme)
    for selector in (".waterfall .what", ".waterfall .count", ".track em", "td", "li"):
        found = page.evaluate(CONTRAST, selector)
        assert found
        assert min(found) >= 4.5, selector


def test_a_bar_leads_from_the_mark_before_to_the_mark_after(opened: Open) -> None:
    page = opened("whole")
    boxes = page.locator("#why-1 .waterfall .track").evaluate_all(
        "tracks => tracks.map(track => [...track.querySelectorAll('b, i')].map(each => each.getBoundingClientRect())"
        ".map(box => [box.left, box.right])[0])"
    )
    for before, bar, after in zip(boxes[0::2], boxes[1::2], boxes[2::2], strict=False):
        marks = sorted((sum(before) / 2, sum(after) / 2))
        assert bar[0] == pytest.approx(marks[0], abs=2)
        assert bar[1] == pytest.approx(max(marks[1], bar[0] + 2), abs=2)
