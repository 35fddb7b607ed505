"""Tests in a real browser: only when asked for (`make browser`), and skipped with a reason where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
