"""What every report says of its run."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from trueup.instants import format_instant


def packages(*names: str) -> dict[str, str]:
    """Distribution -> installed version."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def window_facts(start: datetime | None, end: datetime | None) -> dict[str, str]:
    """start: served at or after. end: served before."""
    since = {} if start is None else {"since": format_instant(start)}
    return since if end is None else {**since, "until": format_instant(end)}
