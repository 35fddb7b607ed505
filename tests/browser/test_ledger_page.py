"""The ledger's page in Chromium: whole, in pieces and hostile, light and dark, wide and narrow, on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.browser.example import example
from tests.browser.pages import CONTRAST, NARROW, OVERFLOW, SHOTS, WIDE, Open
from tests.trueup.diagnose.ledgers import flights_leaky, gain, hostile, in_pieces, no_outcomes, null

from trueup.diagnose.sinks.html import ledger_section, render_page
from trueup.parity.sinks.html import render_html

pytestmark = pytest.mark.browser

PAGES: dict[str, Callable[[], str]] = {
    "whole": lambda: render_page([null(), flights_leaky(), gain()]),
    "missing": lambda: render_page([in_pieces(), no_outcomes()]),
    "hostile": lambda: render_page([hostile()]),
    "report": lambda: render_html(example(), [ledger_section(flights_leaky()), ledger_section(null(), 1)]),
}
# What each row draws, in pixels from the left of the window: [left, right] of its mark or bar.
DRAWN = """rows => rows.map(row => row.querySelector('circle.mark, rect.loss, rect.gain, rect.same')
    .getBoundingClientRect()).map(box => [box.left, box.right])"""
# Of the waterfall and of bars: every text whose box reaches out of its card.
CUT = """() => [...document.querySelectorAll('.ledger .row > span')].filter(each => {
    const box = each.getBoundingClientRect(), card = each.closest('.card').getBoundingClientRect();
    return box.width > 1 && (box.right > card.right || box.left < card.left);
}).map(each => each.textContent)"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ledgers")
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_text(make(), encoding="utf-8")
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
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["whole", "missing"])
def test_text_can_be_read_against_what_is_behind_it(opened: Open, name: str, scheme: str) -> None:
    page = opened(name, scheme=scheme)
    texts = [".ledger .what", ".ledger .count span", ".ledger .beside", ".axis span", ".ledger li", ".ledger dd p"]
    for selector in texts if name == "whole" else [".draw em", ".ledger .what", ".ledger .beside"]:
        found = page.evaluate(CONTRAST, selector)
        assert found, selector
        assert min(found) >= 4.5, selector


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_bar_leads_from_the_mark_before_to_the_mark_after(opened: Open, width: int) -> None:
    page = opened("whole", width=width)
    boxes = page.locator("#why-1 .waterfall .row:not(.head)").evaluate_all(DRAWN)
    *steps, gap = boxes
    for before, bar, after in zip(steps[0::2], steps[1::2], steps[2::2], strict=False):
        marks = sorted((sum(before) / 2, sum(after) / 2))
        assert bar[0] == pytest.approx(marks[0], abs=2)
        assert bar[1] == pytest.approx(marks[1], abs=2)
    assert gap == pytest.approx([sum(steps[-1]) / 2, sum(steps[0]) / 2], abs=2)


def test_whoever_hears_the_page_gets_rows_with_a_name_a_number_and_its_interval(opened: Open) -> None:
    page = opened("whole", width=NARROW)
    table = page.get_by_role("table", name="Waterfall of AUC from offline to online").nth(1)
    rows = table.get_by_role("row")
    assert rows.count() == 1 + 11 + 1
    skew = rows.filter(has=page.get_by_role("rowheader", name="feature skew"))
    assert skew.get_by_role("cell").all_inner_texts() == ["-0.0240 worse", "-0.0311 to -0.0169"]
    first = rows.filter(has=page.get_by_role("rowheader", name="holdout as logged at training"))
    assert first.get_by_role("cell").all_inner_texts() == ["0.7802", "0.7708 to 0.7897"]


def test_bars_are_there_on_paper_and_in_a_readers_own_colours(opened: Open) -> None:
    """Backgrounds are left out by both; what is drawn in SVG is not."""
    page = opened("whole")
    for media in ({"media": "print"}, {"media": "screen", "forced_colors": "active"}):
        page.emulate_media(**media)
        fills = page.locator("#why-1 .waterfall rect.loss").evaluate_all(
            "bars => bars.map(bar => [getComputedStyle(bar).fill, bar.getBoundingClientRect().width])"
        )
        assert len(fills) == 3
        assert all(fill not in ("none", "rgba(0, 0, 0, 0)") and width > 10 for fill, width in fills)


def test_the_reports_navigation_leads_to_each_model(opened: Open) -> None:
    page = opened("report")
    page.get_by_role("link", name="Why: flights@1").click()
    assert page.url.endswith("#why-1")
    assert page.locator("#why-1 h2").inner_text() == "Why: flights@1, offline to online"
