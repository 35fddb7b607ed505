"""A second environment, really built: the repository's own lock with another scikit-learn, installed by uv or pip."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.reproduce_bench.site import ROOT, CommandError, Site

from trueup_training.second_environment import lend_trueup

OLDER = "scikit-learn==1.8.0"
LOCK = "requirements.lock"
_UV = Path(sys.executable).parent / "uv"


def with_older_lock(site: Site) -> Site:
    """The site's git repository gets this repository's lock, in which scikit-learn alone is older."""
    words = ("compile", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate", "--quiet", "-")
    older = _run([str(_UV), "pip", *words], given=OLDER)
    lock = (ROOT / LOCK).read_text(encoding="utf-8")
    changed, count = re.subn(r"(?m)^scikit-learn==.*\n(?:    .*\n)*", lambda _: older.strip() + "\n", lock)
    if count != 1:
        raise CommandError(f"{LOCK} has {count} entries of scikit-learn; one was expected")
    (site.git_root / LOCK).write_text(changed, encoding="utf-8")
    return site


def inside_its_lock(site: Site) -> Site:
    """The site's commands run in an environment of its lock from here on."""
    place = site.folder / "older"
    _run([sys.executable, "-m", "venv", "--without-pip", str(place)])
    python = place / "bin" / "python"
    options = ("--require-hashes", "-r", str(site.git_root / LOCK))
    _run([str(_UV), "pip", "install", "--quiet", "--python", str(python), *options])
    return replace(site, python=str(python), path=lend_trueup(python, site.folder / "lent"))


def outside(site: Site) -> Site:
    """The site's commands run in this environment again."""
    return replace(site, python=sys.executable, path=())


def _run(command: Sequence[str], given: str | None = None) -> str:
    done = subprocess.run(command, input=given, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CommandError(f"{' '.join(command[:3])} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout
