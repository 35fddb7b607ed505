"""Check `served`: each served row against what training would read for it, under the model's own rule.

A parity run is the training join with the served log as its left side: whatever the model learned from must be
what it was served. A model that learned under a leaky rule fails this check although its served values are
right, and the causes say so. Where a log names no model, the rows are the feature service's, under a rule that is asked
for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from trueup.contracts.contract import FeatureContract
from trueup.errors import TrueupError
from trueup.parity.compare import Counts, add_counts
from trueup.parity.explain import Case, examine
from trueup.parity.results import FeatureResult, Result, RoleResult
from trueup.parity.tally import Labels, Tally, roles, tally, tied
from trueup.parity.timeline import Timeline, timeline

CHECK: Literal["served"] = "served"
COULD_NOT_RUN = "could not run"
"""Reason of rows that were to be compared when something went wrong."""
_NO_STATUS = "no status"


@dataclass(frozen=True)
class ServedModel:
    """Some rows that one model version (or a feature service, without version) was served.

    uncompared: reason -> rows that are not in the case. contract: the whole one, of which the case may be a part
    (None: it is the case's). absent: feature -> why it is not in the case. misfits: feature -> type it was logged as ->
    cells that therefore have no status in the case. notes: what was found -> how often.
    """

    model: str
    version: str | None
    case: Case
    labels: Labels
    uncompared: Mapping[str, int] = field(default_factory=dict)
    contract: FeatureContract | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    misfits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.labels.at)

    @property
    def whole(self) -> FeatureContract:
        return self.contract or self.case.contract


@dataclass(frozen=True)
class ServedTotal:
    """What some rows of a model gave; the totals of its parts add up to it. uncompared: reason -> rows that are in no
    case. problems: why a part of it could not be compared."""

    tally: Tally = field(default_factory=Tally)
    roles: Mapping[str, RoleResult] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    uncompared: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def __add__(self, other: ServedTotal) -> ServedTotal:
        both = dict(self.roles)
        for name, role in other.roles.items():
            both[name] = both[name] + role if name in both else role
        return ServedTotal(
            self.tally + other.tally,
            dict(sorted(both.items())),
            self.timeline + other.timeline,
            add_counts(self.uncompared, other.uncompared),
            add_counts(self.notes, other.notes),
            tuple(dict.fromkeys((*self.problems, *other.problems))),
        )


def examined(served: ServedModel) -> ServedTotal:
    """Every feature of every row. Rows that cannot be recomputed are counted, with the reason as a problem."""
    if not served.rows:
        return ServedTotal(uncompared=served.uncompared)
    try:
        findings = examine(served.case)
        total = tally(served.case, findings, served.labels)
    except TrueupError as error:
        uncompared = add_counts(served.uncompared, {COULD_NOT_RUN: served.rows})
        return ServedTotal(uncompared=uncompared, problems=(str(error),))
    features = {name: _without_misfits(result, served.misfits.get(name, {})) for name, result in total.features.items()}
    features |= {name: _absent(served, name, reason) for name, reason in served.absent.items()}
    return ServedTotal(
        replace(total, features=features),
        roles(findings, served.labels),
        timeline(findings, served.labels),
        served.uncompared,
        notes=add_counts(served.notes, tied(findings)),
        problems=tuple(
            f"{name} was logged as {kind}, and values cannot be read as it"
            for name, kinds in served.misfits.items()
            for kind, cells in kinds.items()
            if cells
        ),
    )


def served_result(
    model: str,
    version: str | None,
    total: ServedTotal,
    *,
    contract: FeatureContract | None,
    known_at: str | None,
    notes: Mapping[str, str] | None = None,
) -> Result:
    """The result of all rows of a model. contract, known_at: None where nothing of it could be read."""
    order = {name: position for position, name in enumerate(contract.columns if contract is not None else ())}
    features = sorted(total.tally.features.items(), key=lambda item: order.get(item[0], len(order)))
    return Result(
        check=CHECK,
        subject=model,
        version=version,
        known_at=known_at,
        service=contract.service if contract is not None else None,
        contract=contract.hash if contract is not None else None,
        rows=total.tally.rows,
        features=dict(features),
        uncompared=total.uncompared,
        roles=total.roles,
        timeline=total.timeline.buckets(),
        samples=total.tally.samples,
        notes={**(notes or {}), **{name: f"{count:,}" for name, count in total.notes.items()}},
        problem="; ".join(total.problems) or None,
    )


def check_served(parts: Iterable[ServedModel]) -> Result:
    """Every feature of every row of one model, as answer and as shadow. parts: at least one, of the same model."""
    total, known = ServedTotal(), None
    for part in parts:
        known = part
        total += examined(part)
    if known is None:
        raise ValueError("no part of any model")
    return served_result(
        known.model, known.version, total, contract=known.whole, known_at=known.case.reading.rule.known_at
    )


def _absent(served: ServedModel, name: str, reason: str) -> FeatureResult:
    dtypes = {view.column(item.name): item.dtype for view in served.whole.views for item in view.features}
    dtypes |= {view.column(item.name): item.dtype for view in served.whole.on_demand for item in view.outputs}
    return FeatureResult(dtypes.get(name, "unknown"), Counts(uncompared={reason: served.rows}))


def _without_misfits(result: FeatureResult, misfits: Mapping[str, int]) -> FeatureResult:
    """Cells that the case calls without status, by their own reason."""
    cells = sum(misfits.values())
    if not cells:
        return result
    uncompared = add_counts(result.counts.uncompared, {_NO_STATUS: -cells})
    for kind, count in misfits.items():
        uncompared = add_counts(uncompared, {f"served as {kind}": count})
    counts = replace(result.counts, uncompared={name: count for name, count in uncompared.items() if count})
    return replace(result, counts=counts)
