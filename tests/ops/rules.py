"""Alerts and their routes by the real tools: promtool, amtool, and an Alertmanager that inhibits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.ops.outcome import Outcome, missing
from tests.ops.stack import ALERTMANAGER, HOW_TO_GET_THEM

ROOT = Path(__file__).parents[2]


def check() -> Outcome:
    if absent := missing("promtool", "amtool", ALERTMANAGER):
        return Outcome("rules", "skipped", f"{', '.join(absent)} missing: {HOW_TO_GET_THEM}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/trueup/monitoring/alerts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        return Outcome("rules", "failed", said)
    if "skipped" in said:
        return Outcome("rules", "failed", f"something was skipped though the tools are here: {said}")
    found = re.search(r"(\d+) passed", said)
    assert found is not None, said
    return Outcome(
        "rules",
        "passed",
        "promtool fires every alert and not its near miss; amtool takes the routes; Alertmanager inhibits",
        {"tests": int(found.group(1))},
    )


if __name__ == "__main__":
    outcome = check()
    print(outcome)
    sys.exit(outcome.status == "failed")
