"""Tests in a real browser: only when asked for (`make browser`), and skipped with a reason where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.pages import WIDE, Open

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # Nothing outside can be reached, whatever the page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: opens a real Chromium; run with `make browser`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = "browser" in config.option.markexpr
    for item in items:
        if HERE in item.path.parents and not asked:
            item.add_marker(pytest.mark.skip(reason="needs a browser; run it with `make browser`"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's chromium, or the one `TRUEUP_CHROMIUM` names."""
    found = os.environ.get("TRUEUP_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium on PATH: apt-get install --no-install-recommends chromium, or set TRUEUP_CHROMIUM")
    # A browser's driver: only who runs these tests needs it.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser, files: dict[str, Path]) -> Iterator[Open]:
    """Opens a page of the module's `files`; at the end of the test, nothing must have been asked for and nothing
    complained of."""
    complaints: list[str] = []
    requests: list[str] = []

    with ExitStack() as stack:

        def open_page(name: str, *, width: int = WIDE, scheme: Any = "light") -> Page:
            context = stack.enter_context(
                chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            )
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(dialog.message))
            page.on("request", lambda request: requests.append(request.url))
            page.goto(files[name].as_uri())
            assert requests.pop(0) == files[name].as_uri()
            return page

        yield open_page
        assert complaints == []
        assert requests == []
