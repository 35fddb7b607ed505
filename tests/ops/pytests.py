"""A part of `make ops-check` that is a folder or a file of tests, run with the tools that it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.ops.outcome import Outcome

ROOT = Path(__file__).parents[2]


def passed(part: str, path: str, shown: str) -> Outcome:
    """shown: what it proves. A skipped test is a failure: the tools are here, or the part would not be run."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path]
    environment = {**os.environ, "TRUEUP_OPS_CHECK": "1"}  # what is too slow for `make test`, too
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()
    found = re.search(r"(\d+) passed", said)
    if done.returncode or found is None or "skipped" in said:
        sys.stderr.write(done.stdout + done.stderr)
        return Outcome(part, "failed", said)
    return Outcome(part, "passed", shown, {"tests": int(found.group(1))})
