"""Why a feature counts as drifted, in sentences one can read to somebody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trueup.parity.distribution.bins import instant_label
from trueup.parity.results import Bin, Drift

_STATES = {
    "null_rate": ("null", "null rate"),
    "missing_rate": ("missing", "share of missing entities"),
    "expired_rate": ("expired", "share of expired values"),
    "nan_rate": ("nan", "NaN rate"),
    "infinite_rate": ("infinite", "share of infinite values"),
    "outliers": ("outliers", "share of outliers"),
}
_SHAPE = ("ks", "wasserstein", "psi", "js", "cramers_v", "largest_bin")
_MOST_NAMED = 3
_TOLD = 0.1
"""Relative change of the range of the middle half that is worth a sentence; it decides nothing."""


def reasons(drift: Drift, telling: Sequence[str], most_changed: Bin) -> tuple[str, ...]:
    """telling: the distances that make it drifted. most_changed: the bin that stands out. What is most easily
    understood comes first."""
    return tuple(_sentences(drift, telling, most_changed))


def _sentences(drift: Drift, telling: Sequence[str], most_changed: Bin) -> Iterator[str]:
    for distance, (name, what) in _STATES.items():
        if distance in telling:
            before, after = (getattr(side, name) for side in (drift.reference, drift.current))
            if before / drift.reference.rows != after / drift.current.rows:
                yield f"{what} {_moved(before, after, drift)}"
    if "categories" in telling:
        yield from _categories("new category", "new categories", drift.new_categories, drift.current.rows, "have")
        yield from _categories(
            "category", "categories", drift.vanished_categories, drift.reference.rows, "of the reference had"
        )
    shape = [distance for distance in _SHAPE if distance in telling]
    if "ks" in shape or "wasserstein" in shape:
        yield from _moves(drift)
    if "largest_bin" in shape:
        yield from _most_changed(drift, most_changed)
    if shape:
        yield "distribution differs: " + ", ".join(f"{_NAMES[name]} {drift.distances[name]:.2g}" for name in shape)


_NAMES = {
    "ks": "KS",
    "wasserstein": "Wasserstein",
    "psi": "PSI",
    "js": "Jensen-Shannon",
    "cramers_v": "Cramér's V",
    "largest_bin": "largest bin",
}


def _categories(one: str, many: str, found: Sequence[tuple[str, int]], rows: int, verb: str) -> Iterator[str]:
    if not found:
        return
    vanished = verb != "have"
    gone = ", which no current row has" if vanished else ""
    share = percentage(sum(count for _, count in found), rows)
    named = ", ".join(f"'{text}'" for text, _ in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    what = one if len(found) == 1 else many
    yield f"{share} of rows {verb} the {what} {named}{more}{gone}"


def _moves(drift: Drift) -> Iterator[str]:
    """Of numbers: where their middle lies, and how wide they are."""
    before, after = (side.quantiles for side in (drift.reference, drift.current))
    if not before or not after or not {"range", "value"} & {found.kind for found in drift.bins}:
        return
    instants = drift.dtype.startswith("timestamp")
    write = instant_label if instants else "{:.4g}".format
    middle = before["p50"], after["p50"]
    width = before["p75"] - before["p25"], after["p75"] - after["p25"]
    if middle[0] != middle[1]:
        yield f"median {_went(*middle)} from {write(middle[0])} to {write(middle[1])}"
    if width[0] > 0 and abs(width[1] / width[0] - 1) > _TOLD and not instants:
        how = "widened" if width[1] > width[0] else "narrowed"
        yield f"range of the middle half {how} from {width[0]:.4g} to {width[1]:.4g}"


def _most_changed(drift: Drift, most: Bin) -> Iterator[str]:
    """Where that is not said already: of a state, or of a new or lost category."""
    listed = [text for text, _ in (*drift.new_categories, *drift.vanished_categories)[:_MOST_NAMED]]
    if most.kind == "state" or most.label in listed or not _change(most, drift):
        return
    what = {"range": "share of rows in", "value": "share of the value", "rest": "share of"}.get(most.kind)
    subject = f"share of '{most.label}'" if what is None else f"{what} {most.label}"
    yield f"{subject} {_moved(most.reference, most.current, drift)}"


def _change(found: Bin, drift: Drift) -> float:
    return found.current / drift.current.rows - found.reference / drift.reference.rows


def _moved(before: int, after: int, drift: Drift) -> str:
    shares = before / drift.reference.rows, after / drift.current.rows
    return (
        f"{_went(*shares)} from {percentage(before, drift.reference.rows)} to {percentage(after, drift.current.rows)}"
    )


def _went(before: float, after: float) -> str:
    return "rose" if after > before else "fell"


def percentage(part: int, whole: int) -> str:
    """A share with two figures that never shows something as nothing."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.01:
        return "less than 0.01 %"
    if 99.95 <= share < 100:
        return "more than 99.9 %"
    if 99 <= share < 100:
        return f"{share:.1f} %"
    return f"{share:.0f} %" if share in (0, 100) or share >= 10 else f"{share:.2g} %"
