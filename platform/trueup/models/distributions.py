"""What an installed distribution holds, as one hash: a package that was built or patched otherwise is another one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from trueup.hashing import digest

_INSTALLERS_OWN = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"})
"""Files that an installer writes into the `.dist-info` folder: they say how a wheel came, not what is in it."""


def installed(name: str) -> tuple[str, str | None] | None:
    """Version and content hash of a distribution; None when it is not installed.

    The hash is None where nothing lists the contents: an editable install, or a package of the system's own.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return found.version, None if _is_editable(found) else content_hash((found.read_text("RECORD") or "").splitlines())


def content_hash(record: Iterable[str]) -> str | None:
    """SHA-256 in hex over the files of a wheel, by their paths and hashes; None when no line is of the wheel.

    record: lines of the `RECORD` that the wheel brought and its installer completed. What installation adds is left
    out, so that one wheel has one hash whichever tool installed it wherever. The hashes are those of the RECORD: a
    file that was edited after installation is not seen (reading every file would take seconds).
    """
    lines = sorted((row[0], row[1]) for row in csv.reader(record) if len(row) > 1 and _of_the_wheel(row[0], row[1]))
    return digest(lines) if lines else None


def _of_the_wheel(path: str, file_hash: str) -> bool:
    """Scripts and data lie outside of site-packages, with an interpreter's path written into them."""
    folder, _, name = path.rpartition("/")
    outside = path.startswith(("../", "/"))
    of_installer = folder.endswith(".dist-info") and name in _INSTALLERS_OWN
    return bool(file_hash) and not (outside or of_installer or name.endswith(".pyc"))


def _is_editable(found: Distribution) -> bool:
    text = found.read_text("direct_url.json")
    return bool(text) and bool(json.loads(text or "{}").get("dir_info", {}).get("editable", False))
