"""The Jenkinsfile under npm-groovy-lint, which knows Groovy's syntax (and no Jenkins directive)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.ops.npm import npm_program
from tests.ops.outcome import missing

LINTER = "npm-groovy-lint@15.2.2"
"""Newer ones ask for Node 22."""


def groovy_problems(folder: Path, jenkinsfile: Path) -> list[str] | str:
    """What is wrong with the file, nothing if it is well; or, as text, why that cannot be told here.

    folder: where npm's programs are kept.
    """
    if gone := missing("npm", "node", "java"):
        return f"there is no {', '.join(gone)}: apt-get install nodejs npm default-jre-headless"
    program = npm_program(folder, LINTER)
    if program is None:
        return f"npm cannot get {LINTER} here"
    done = subprocess.run(
        [str(program), "--noserver", "--failon", "error", jenkinsfile.name],
        cwd=jenkinsfile.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return [] if done.returncode == 0 else [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
