"""What every report says of its run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trueup.errors import InputError
from trueup.instants import format_instant
from trueup.models.environment import Environment
from trueup.models.environment_diff import diff, unknown_text
from trueup.parity.results import AnyResult, Check, could_not_run
from trueup.stores.ledger import Ledger
from trueup.stores.registry_ledger import RegistryLedger
from trueup.wording import counted

_SHOWN = 3
"""Differences that a fact names."""

PACKAGES = ("trueup", "feast", "duckdb", "pyarrow", "numpy")
"""What a comparison of features is made with."""


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


def nothing_served(
    check: Check, log: Path, start: datetime | None, end: datetime | None, models: Sequence[str] | None
) -> AnyResult:
    """The result where the log has no row of what was asked for: an empty comparison is not a pass."""
    asked = [
        *([] if start is None else [f"at or after {format_instant(start)}"]),
        *([] if end is None else [f"before {format_instant(end)}"]),
        *([] if models is None else [f"by {', '.join(models)}"]),
    ]
    return could_not_run(check, str(log), " ".join(["the log has no row that was served", *asked]) + ".")


def sample_of(share: float) -> dict[str, str]:
    """share: of the entities that are looked at."""
    return {"sample": f"{share:g} of the entities, by a hash of their keys"} if share < 1 else {}


def check_share(share: float) -> None:
    """Raises InputError for a share of the entities that is none."""
    if not 0 < share <= 1:
        raise InputError("sample", f"sample is {share}; expected a share of the entities, more than 0 and at most 1.")


def environment_fact(trained: Environment | str, here: Environment) -> str:
    """What can change a number between the environment a model was trained in and this one.

    trained: why it is not known, where it is not.
    """
    if isinstance(trained, str):
        return f"not known: {trained}"
    found = diff(trained, here).arithmetic
    unknown = unknown_text(found, _SHOWN)
    if not found:
        return f"nothing is known to differ; {unknown}" if unknown else "same as here"
    named = [str(each) for each in found.differences[:_SHOWN]]
    if more := len(found.differences) - len(named):
        named.append(f"and {more:,} more")
    count = counted(len(found.differences), "difference")
    return "; ".join([f"{count} that can change numbers: {named[0]}", *named[1:], *([unknown] if unknown else [])])


def ledger_facts(ledger: Ledger | None) -> dict[str, str]:
    """What says what was materialized when."""
    if isinstance(ledger, RegistryLedger):
        return {"ledger": f"none: the windows that Feast's registry ({ledger.path}) says were materialized stand in"}
    if ledger is None or not ledger.path.exists():
        return {"ledger": "none: the views' declared schedules stand in"}
    return {"ledger": str(ledger.path)}
