"""Every command of the README runs, in its order, in a copy of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
SMALL = "--requests 60 --length 8h --start 2013-11-25T12:00:00Z --sample 20000"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files and those not ignored, with this environment as its own."""
    copy = tmp_path_factory.mktemp("readme") / "trueup"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    return copy


def run(script: str, checkout: Path) -> str:
    environment = {**os.environ, "DEMO_FLAGS": SMALL, "COLUMNS": "100"}
    environment.pop("TRUEUP_REDIS_URL", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def test_the_two_commands_are_the_ones_ci_runs_and_the_demo_ends_with_a_report(checkout: Path) -> None:
    assert BLOCKS[0].split("\n") == ["make demo", "make test", ""]
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    # `make test` is what runs this very test; running it again here would never end.
    printed = run("make demo", checkout)
    assert "report: build/demo/report.html" in printed
    assert (checkout / "build" / "demo" / "report.html").is_file()
    explained = run(BLOCKS[1], checkout)
    assert "flights_leaky@1" in explained
    assert (checkout / "build" / "diagnose.html").is_file()


def test_every_other_command_runs_in_its_order(checkout: Path) -> None:
    assert len(BLOCKS) == 5
    try:
        steps, serving, stock = (run(f". .venv/bin/activate\n{block}", checkout) for block in BLOCKS[2:])
    finally:
        run(". .venv/bin/activate; cd feature_repo; feast teardown", checkout)
    assert "flights@1" in steps
    assert '"prediction"' in serving
    assert "pass" in serving
    assert "PASS" in stock
