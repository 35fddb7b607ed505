"""A program of npm's, in `build/npm`: fetched once, and never installed on the machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


def npm_program(folder: Path, package: str) -> Path | None:
    """package: NAME@VERSION; its program has the same name. None when npm cannot get it."""
    name, version = package.split("@")
    place = folder / name
    manifest = place / "node_modules" / name / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text())["version"] != version:
        place.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(place), package]
        if subprocess.run(command, check=False).returncode:
            return None
    return place / "node_modules" / ".bin" / name
