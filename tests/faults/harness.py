"""Runs trueup's parity through its public entry points and notes what it found of each cell.

The only file of the bench that knows the engine. `run_served` and `run_online` give counts; the cells behind them are
taken where the checks hand them on to be counted (`tally`), which changes nothing of what the checks do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from trueup.contracts.contract import FeatureContract
from trueup.instants import AsOfRule, KnownAt
from trueup.parity.causes import BIT
from trueup.parity.checks import online as online_check
from trueup.parity.checks import served as served_check
from trueup.parity.compare import Outcome
from trueup.parity.evidence.online import redis_reader
from trueup.parity.report import Report
from trueup.parity.runs.online import run_online
from trueup.parity.runs.served import run_served
from trueup.stores.ledger import Ledger

Label = tuple[Any, ...]
"""A served row: (request, row). An entity online: its key."""


@dataclass(frozen=True)
class Card:
    contract: FeatureContract
    rule: AsOfRule


@dataclass
class Found:
    """mismatches: feature -> label -> names of the causes; none named: unexplained. tied: feature -> cells that are
    counted as resting on a source row which has both clocks equal with another (`Findings.on_ties`)."""

    compared: int = 0
    uncompared: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    mismatches: dict[str, dict[Label, frozenset[str]]] = field(default_factory=dict)
    tied: dict[str, set[Label]] = field(default_factory=dict)

    @property
    def mismatched(self) -> int:
        return sum(map(len, self.mismatches.values()))


def check_served(
    repo: Path, log: Path, contract: FeatureContract, known_at: KnownAt, *, ledger: Path | None = None, **options: Any
) -> Found:
    """The served log against the read under a rule."""
    card = Card(contract, AsOfRule(known_at))
    with _recorded(served_check) as found:
        report = run_served(
            repo,
            log,
            lambda _model, _version: card,
            ledger=Ledger(ledger or repo / "data" / "ledger.sqlite"),
            **options,
        )
    return _counted(found, report)


def check_online(
    repo: Path, client: Any, contract: FeatureContract, now: datetime, *, ledger: Path | None = None
) -> Found:
    """The online store against what the ledger says it holds."""
    with _recorded(online_check) as found:
        report = run_online(
            repo, contract, redis_reader(client), now=now, ledger=Ledger(ledger or repo / "data" / "ledger.sqlite")
        )
    return _counted(found, report)


def _counted(found: Found, report: Report) -> Found:
    for result in report.results:
        found.compared += result.compared
        for reason, count in result.uncompared.items():
            found.uncompared[reason] = found.uncompared.get(reason, 0) + count
        if result.problem is not None:
            found.problems.append(f"{result.subject}: {result.problem}")
    return found


@contextmanager
def _recorded(check: Any) -> Iterator[Found]:
    """Notes every cell that a check of this module hands to be counted."""
    found = Found()
    count = check.tally

    def tally(case: Any, findings: Any, labels: Any) -> Any:
        _note(found, case, findings, labels)
        _note_ties(found, case, findings, labels)
        return count(case, findings, labels)

    check.tally = tally
    try:
        yield found
    finally:
        check.tally = count


def _note(found: Found, case: Any, findings: Any, labels: Any) -> None:
    for column, codes in findings.comparison.codes.items():
        rows = np.flatnonzero(codes >= Outcome.VALUE)
        if not len(rows):
            continue
        bits = findings.causes[column]
        cells = found.mismatches.setdefault(column, {})
        for row in rows.tolist():
            names = frozenset(name for name, bit in BIT.items() if bits[row] & bit)
            cells[_label(case, labels, row)] = names


def _note_ties(found: Found, case: Any, findings: Any, labels: Any) -> None:
    if not findings.on_ties:
        return
    for view in case.contract.views:
        rows = np.flatnonzero(case.recompute.tied(view, case.reading, case.rows)).tolist()
        for column, owner in case.views.items():
            if owner == view.name and column in findings.on_ties:
                found.tied.setdefault(column, set()).update(_label(case, labels, row) for row in rows)


def _label(case: Any, labels: Any, row: int) -> Label:
    if labels.request is not None:
        return labels.request[row].as_py(), labels.row[row].as_py()
    (view,) = case.contract.views
    return tuple(case.inputs.column(key.request)[row].as_py() for key in sorted(view.keys, key=lambda key: key.name))
