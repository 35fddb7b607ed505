"""What every test of a page asks of it, as JavaScript that runs in the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOTS = Path("build/browser")
WIDE, NARROW = 1280, 390

# Runs in the page: every box that reaches out of the window and is not inside a part that scrolls or hides it.
OVERFLOW = """() => [...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    if (!box.width || box.right <= innerWidth + 0.5) return false;
    for (let parent = element.parentElement; parent; parent = parent.parentElement)
        if (getComputedStyle(parent).overflowX !== 'visible') return false;
    return true;
}).map(element => `${element.tagName}: ${element.textContent.slice(0, 60)}`)"""
# WCAG contrast of an element's text against the first opaque background behind it.
CONTRAST = """selector => [...document.querySelectorAll(selector)].filter(each => each.offsetParent).slice(0, 40).map(
element => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const linear = part => part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let behind = element;
    while (parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const colours = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
    const [high, low] = colours.map(parse).map(light).sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
})"""

Open = Callable[..., "Page"]
