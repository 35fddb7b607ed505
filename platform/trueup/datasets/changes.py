"""What differs between the inputs of two snapshots, and which of it can change a feature's values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trueup.contracts.contract import FeatureContract, View
from trueup.datasets.manifest import Manifest
from trueup.instants import format_duration, format_instant
from trueup.wording import changed

Reason = Literal[
    "definition",
    "as_of",
    "schedule",
    "ledger",
    "entity_query",
    "window",
    "sample",
    "late_data",
    "writer",
    "unexplained",
]
MEANING: Mapping[Reason, str] = {
    "definition": "the feature is defined otherwise",
    "as_of": "known_at or pinned differ",
    "schedule": "the view's declared cadence or delay differ",
    "ledger": "the materialization ledger says otherwise",
    "entity_query": "the query, its tables, the id or the label differ",
    "window": "the windows differ",
    "sample": "the sample differs",
    "late_data": "same inputs, other content: the sources were restated, or rows landed late",
    "writer": "same content, written by another version",
    "unexplained": "nothing recorded explains it: a function that is not deterministic, or another library version",
}


@dataclass(frozen=True)
class Change:
    """One input that is not the same. part: which one, such as `source weather`. detail: from what to what."""

    reason: Reason
    part: str
    detail: str


def input_changes(before: Manifest, after: Manifest) -> tuple[Change, ...]:
    """Every input that differs, in the order in which a training set is made; none when all are the same."""
    return tuple(_changes(before, after))


def _changes(before: Manifest, after: Manifest) -> Iterator[Change]:
    one, other = before.spec, after.spec
    for difference in before.contract.diff(after.contract):
        yield Change("definition", difference.part, difference.detail)
    if before.contract.project != after.contract.project:
        yield _change("definition", "project", before.contract.project, after.contract.project)
    if one.rule.known_at != other.rule.known_at:
        yield _change("as_of", "known_at", one.rule.known_at, other.rule.known_at)
    if one.pinned != other.pinned:
        yield _change("as_of", "pinned", format_instant(one.pinned), format_instant(other.pinned))
    for view in before.contract.views:
        theirs = _view(after.contract, view.name)
        if theirs is not None and view.schedule != theirs.schedule:
            yield _change("schedule", f"view {view.name}", _schedule(view), _schedule(theirs))
    for name in sorted({*before.ledger, *after.ledger}):
        ours, others = before.ledger.get(name), after.ledger.get(name)
        if ours != others:
            runs = [f"{state.runs} runs" if state is not None else "no runs" for state in (ours, others)]
            yield Change("ledger", f"view {name}", f"{runs[0]} -> {runs[1]}, not the same ones")
    for part in ("query", "tables", "id", "label"):
        if getattr(one.rows, part) != getattr(other.rows, part):
            yield _change("entity_query", part, getattr(one.rows, part), getattr(other.rows, part))
    for part in ("train", "holdout"):
        if getattr(one, part) != getattr(other, part):
            yield _change("window", part, getattr(one, part), getattr(other, part))
    if one.rows.sample != other.rows.sample:
        yield _change("sample", "sample", one.rows.sample or "all rows", other.rows.sample or "all rows")


def feature_reasons(before: Manifest, after: Manifest, column: str) -> tuple[Reason, ...]:
    """Which changed inputs can change the values of a feature for one and the same row. column: `view__feature`."""
    one, other = (_definition(manifest.contract, column) for manifest in (before, after))
    views = {name for contract in (before.contract, after.contract) for name in views_behind(contract, column)}
    changes = input_changes(before, after)
    served = "served" in (before.spec.rule.known_at, after.spec.rule.known_at)
    behind = {f"view {name}" for name in views}
    can: Mapping[Reason, bool] = {
        "definition": one != other,
        "as_of": bool(views) and any(change.reason == "as_of" for change in changes),
        "schedule": served and any(change.reason == "schedule" and change.part in behind for change in changes),
        "ledger": served and any(change.reason == "ledger" and change.part in behind for change in changes),
        # A query may bring other keys, request values or another instant for the same id.
        "entity_query": any(change.reason == "entity_query" for change in changes),
    }
    return tuple(reason for reason, does in can.items() if does)


def views_behind(contract: FeatureContract, column: str) -> tuple[str, ...]:
    """The feature views whose values decide a feature: its own, or those its on-demand view takes."""
    for odfv in contract.on_demand:
        if column in {odfv.column(item.name) for item in odfv.outputs}:
            return tuple(dict.fromkeys(view for view, _ in odfv.inputs))
    return tuple(view.name for view in contract.views if column in {view.column(item.name) for item in view.features})


def _definition(contract: FeatureContract, column: str) -> Any:
    """What defines a feature, without what else its view has: a feature added beside it changes nothing of it."""
    for odfv in contract.on_demand:
        if column in {odfv.column(item.name) for item in odfv.outputs}:
            return [odfv.canonical(), [_definition(contract, f"{view}__{name}") for view, name in sorted(odfv.inputs)]]
    for view in contract.views:
        for item in view.features:
            if view.column(item.name) == column:
                return [{**view.canonical(), "features": item.dtype}, view.source.canonical()]
    return None


def _view(contract: FeatureContract, name: str) -> View | None:
    return next((view for view in contract.views if view.name == name), None)


def _schedule(view: View) -> str:
    return f"every {format_duration(view.schedule.cadence)}, {format_duration(view.schedule.delay)} later"


def _change(reason: Reason, part: str, before: object, after: object) -> Change:
    return Change(reason, part, changed(*(" ".join(str(value).split()) for value in (before, after))))
