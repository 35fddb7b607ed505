"""The report as a person meets it: opened from a file in Chromium, by mouse and by keyboard, light and dark, wide and
narrow. Screenshots go to `build/browser/`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.browser.example import example
from tests.browser.extremes import hostile, large
from tests.browser.pages import CONTRAST, NARROW, OVERFLOW, SHOTS, WIDE, Open

from trueup.parity.sinks.html import render_html

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

REPORTS = {"example": example, "large": large, "hostile": hostile}
# Pairs of texts of one drawing whose boxes share more than a hair.
OVERLAPS = """() => [...document.querySelectorAll('svg.clocks')].flatMap(drawing => {
    const texts = [...drawing.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    return texts.flatMap(([one, a], index) => texts.slice(index + 1).filter(([, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => `${one} / ${other}`));
})"""
AXES = """() => [...document.querySelectorAll('.chart .x')].flatMap(axis => {
    const texts = [...axis.querySelectorAll('span')].map(text => [text.textContent, text.getBoundingClientRect()]);
    return texts.flatMap(([one, a], index) => texts.slice(index + 1)
        .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > -3)
        .map(([other]) => `${one} / ${other}`));
})"""
OPEN_ALL = "() => { for (const part of document.querySelectorAll('details')) part.open = true; }"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, make in REPORTS.items():
        (folder / f"{name}.html").write_text(render_html(make()), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in REPORTS}


def column(page: Page, table: str, index: int) -> list[str]:
    cells = page.locator(f"{table} tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{index}].dataset.v)")
    return [str(cell) for cell in cells]


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_opens_alone_and_nothing_reaches_out_of_it(opened: Open, name: str, scheme: str, width: int) -> None:
    page = opened(name, width=width, scheme=scheme)
    assert page.locator("h1").inner_text()
    SHOTS.mkdir(parents=True, exist_ok=True)
    if name != "large":
        page.screenshot(path=SHOTS / f"{name}-{scheme}-{width}.png", full_page=True)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OVERFLOW) == []


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_label_of_a_drawing_lies_on_another(opened: Open, name: str, width: int) -> None:
    page = opened(name, width=width)
    page.evaluate(OPEN_ALL)
    assert page.locator("svg.clocks").count() > 5
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(AXES) == []


def test_a_click_sorts_a_table_and_another_turns_it_round(opened: Open) -> None:
    page = opened("example")
    table = "#r0 table.sortable"
    before = column(page, table, 0)
    page.locator(f"{table} th button", has_text="older row").click()
    numbers = [int(each) for each in column(page, table, 5)]
    assert numbers == sorted(numbers, reverse=True)
    assert page.locator(f"{table} th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.locator(f"{table} th button", has_text="older row").click()
    assert [int(each) for each in column(page, table, 5)] == numbers[::-1]
    page.locator(f"{table} th button", has_text="feature").click()
    assert column(page, table, 0) == sorted(before)
    assert page.locator(f"{table} th[aria-sort]").count() == 1


def test_the_keyboard_alone_sorts_and_opens(opened: Open) -> None:
    page = opened("example")
    button = page.locator("#r0 table.sortable th button", has_text="share")
    button.focus()
    page.keyboard.press("Enter")
    shares = [float(each) for each in column(page, "#r0 table.sortable", 3)]
    assert shares == sorted(shares, reverse=True)
    page.keyboard.press("Space")
    assert [float(each) for each in column(page, "#r0 table.sortable", 3)] == sorted(shares)
    closed = page.locator("#features details:not([open])").first
    anchor = closed.get_attribute("id")
    closed.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.locator(f"#{anchor}").get_attribute("open") is not None


def test_every_control_can_be_reached_with_the_tab_key(opened: Open) -> None:
    page = opened("example")
    reached = page.evaluate("""() => [...document.querySelectorAll('a[href], button, summary')]
        .filter(e => e.checkVisibility()).every(e => e.tabIndex >= 0)""")
    assert reached
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Checked"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_link_to_a_closed_part_opens_it(opened: Open) -> None:
    page = opened("example")
    target = page.locator("#features details:not([open])").first
    anchor = target.get_attribute("id")
    page.locator(f'#checked a[href="#{anchor}"]').click()
    page.wait_for_function(f"document.getElementById({json.dumps(anchor)}).open")
    assert page.locator(f"#{anchor} table").is_visible()


def test_sorting_by_numbers_that_are_none_loses_no_row(opened: Open) -> None:
    page = opened("hostile")
    page.evaluate(OPEN_ALL)
    table = "#drift table.sortable"
    for title in ("psi", "js", "q"):
        page.locator(f"{table} th button", has_text=title).first.click()
        assert page.locator(f"{table} tbody tr").count() == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_against_what_is_behind_it(opened: Open, scheme: str) -> None:
    page = opened("example", scheme=scheme)
    page.evaluate(OPEN_ALL)
    for selector in ("p", "td", "th", ".quiet", ".fail", ".could-not-run", ".pass", "tr.calm td", ".tag", "summary"):
        ratios = page.evaluate(CONTRAST, selector)
        assert ratios, selector
        assert min(ratios) >= 4.5, (selector, min(ratios))


def test_dark_is_dark_and_light_is_light(opened: Open) -> None:
    shades = [
        sum(
            int(part)
            for part in opened("example", scheme=scheme).evaluate(
                "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
            )
        )
        for scheme in ("light", "dark")
    ]
    assert shades[0] > 700
    assert shades[1] < 100


def test_a_bar_is_as_long_as_its_share(opened: Open) -> None:
    page = opened("example")
    widths = (
        page.locator("#causes .card")
        .first.locator(".track i")
        .evaluate_all("bars => bars.map(bar => bar.offsetWidth / bar.parentElement.offsetWidth)")
    )
    counts = list(example().cells[0].by_cause.values())
    for width, count in zip(widths, counts, strict=False):
        assert width == pytest.approx(count / max(counts), abs=0.012)
