"""`python -m tests.benches [NAME...] [--scale F] [--out build/bench.json]`: speed shown, not claimed.

A bench is a module of this folder with `bench(scale: float, directory: Path) -> list[dict]`. It first asserts that what
it compares gives equal results, then takes times, interleaved. Its rows are merged by name into a JSON list of
`{"name", "ratio_to_feast", "ratio_to_floor", "equal", "context"}`; a ratio is null where it makes no sense.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FIELDS = {"name", "ratio_to_feast", "ratio_to_floor", "equal", "context"}


def names() -> list[str]:
    """Benches, by the names of their files."""
    modules = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("_", "test_")))
    return [name for name in modules if hasattr(importlib.import_module(f"tests.benches.{name}"), "bench")]


def run(name: str, scale: float, directory: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = importlib.import_module(f"tests.benches.{name}").bench(scale, directory)
    for row in rows:
        if set(row) != FIELDS:
            raise ValueError(f"bench {name}: a row has {sorted(row)}, expected {sorted(FIELDS)}")
    return rows


def merge(out: Path, rows: list[dict[str, Any]]) -> None:
    """Rows of the same name are replaced, others kept; in the order of their names."""
    kept = json.loads(out.read_text()) if out.exists() else []
    merged = {row["name"]: row for row in [*kept, *rows]}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([merged[name] for name in sorted(merged)], indent=2) + "\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benches", description="Benches, as ratios.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    asked = parser.parse_args(arguments)
    known = names()
    for name in asked.names:
        if name not in known:
            parser.error(f"no bench {name!r}; there are {', '.join(known)}")
    for name in asked.names or known:
        with tempfile.TemporaryDirectory() as directory:
            rows = run(name, asked.scale, Path(directory))
        merge(asked.out, rows)
        for row in rows:
            ratios = [f"{row[key]:.2f} {key}" for key in ("ratio_to_feast", "ratio_to_floor") if row[key] is not None]
            sys.stdout.write(f"{row['name']}: {', '.join(ratios) or row['context']}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
