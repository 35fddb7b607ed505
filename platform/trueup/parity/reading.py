"""How a row is recomputed, and what a toggle can change about it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trueup.frame import Status
from trueup.instants import AsOfRule, KnownAt
from trueup.parity.compare import NO_TIME, Cells, Mask
from trueup.stores.history import Deviation, Variation

MOST_CHANGES = 3
"""How many changes at once are tried. Three independent faults in one cell are as good as unexplained."""
MOST_RUNS = 3
"""How many of the last runs a `missed_materialization` can have missed."""
MOST_TIED = 3
"""How many rows with both clocks equal are told apart."""


@dataclass(frozen=True)
class Reading:
    """The rule a model carries, and what is changed about the read. See `trueup.stores.history.Variation`.

    ttl: False reads as if no view had a TTL. under_way: a materialization run that was under way at the row's
    own instant counts as landed (its values may have been there already). declared: the views' declared schedules
    alone say what has landed; a view without one goes by the ledger. declared_types: True for an offline store that
    reads values as their declared types (trueup's own), False for one that reads them as the source has them
    (Feast's). deviation, size: one more way in which the read goes against the rule.
    """

    rule: AsOfRule
    ttl: bool = True
    under_way: bool = False
    declared: bool = False
    declared_types: bool = True
    deviation: Deviation = "none"
    size: int = 0

    @property
    def variation(self) -> Variation:
        return Variation(
            ttl=self.ttl,
            declared=self.declared,
            under_way=self.under_way,
            declared_types=self.declared_types,
            deviation=self.deviation,
            size=self.size,
        )

    def at(self, known_at: KnownAt, *, declared: bool = False) -> Reading:
        """The same under another rule."""
        return replace(self, rule=AsOfRule(known_at, self.rule.pinned), declared=declared)


@dataclass(frozen=True)
class Toggle:
    """One change of how the source is read.

    cause: what is named when it alone, or it too, reproduces a served cell. change: the reading one step on, or None
    where the step does not apply. concerns: (cells before the step, served cells) -> which it could explain at all;
    it only saves reading the others. Features without event times are never left out.
    """

    cause: str
    change: Callable[[Reading], Reading | None]
    concerns: Callable[[Cells, Cells], Mask]


def ledger_reading(reading: Reading) -> Reading:
    """What the ledger says the online store held."""
    return reading.at("served")


def widest_reading(reading: Reading) -> Reading:
    """Whatever the source has for the row's instant, known or not, however old."""
    return replace(reading.at("unbounded"), ttl=False)


def _older(before: Cells, served: Cells) -> Mask:
    """A row at most as new, or none at all (whose time is the smallest number)."""
    return _times(before, served, lambda mine, theirs: theirs <= mine)


def _strictly_older(before: Cells, served: Cells) -> Mask:
    return _times(before, served, lambda mine, theirs: (theirs < mine) & (theirs != NO_TIME))


def _newer(before: Cells, served: Cells) -> Mask:
    return _times(before, served, lambda mine, theirs: theirs >= mine)


def _same_time(before: Cells, served: Cells) -> Mask:
    return _times(before, served, lambda mine, theirs: (theirs == mine) & (theirs != NO_TIME))


def _times(before: Cells, served: Cells, holds: Callable[..., Mask]) -> Mask:
    if before.times is None or served.times is None:
        return np.ones(len(served), np.bool_)
    return holds(before.times, served.times)


def _is_expired(before: Cells, served: Cells) -> Mask:
    expired: Mask = (before.statuses == Status.EXPIRED) & (served.statuses != Status.EXPIRED)
    return expired


def _known_at(before: KnownAt, after: KnownAt, *, declared: bool = False) -> Callable[[Reading], Reading | None]:
    def change(reading: Reading) -> Reading | None:
        if reading.rule.known_at != before or reading.declared:
            return None
        return reading.at(after, declared=declared)

    return change


def _to_ledger(reading: Reading) -> Reading | None:
    return replace(reading, declared=False) if reading.declared else None


def _without_ttl(reading: Reading) -> Reading | None:
    return replace(reading, ttl=False) if reading.ttl else None


def _deviating(deviation: Deviation, size: int = 0, *, by_ledger: bool = False) -> Callable[[Reading], Reading | None]:
    """by_ledger: only where the ledger says what has landed."""

    def change(reading: Reading) -> Reading | None:
        if reading.deviation != "none" or (by_ledger and (reading.rule.known_at != "served" or reading.declared)):
            return None
        return replace(reading, deviation=deviation, size=size)

    return change


TOGGLES: tuple[Toggle, ...] = (
    Toggle("late_arrival", _known_at("unbounded", "label"), _older),
    Toggle("lag", _known_at("label", "served", declared=True), _older),
    Toggle("missed_materialization", _to_ledger, _older),
    Toggle("ahead_of_ledger", _known_at("served", "label"), _newer),
    Toggle("redis_refused_equal_ts", _deviating("first_landed"), _same_time),
    Toggle("stale_overwrite", _deviating("last_writer", by_ledger=True), _strictly_older),
    *(
        Toggle("missed_materialization", _deviating("before_last_run", size, by_ledger=True), _strictly_older)
        for size in range(1, MOST_RUNS + 1)
    ),
    *(Toggle("ambiguous_source", _deviating("tied", size), _same_time) for size in range(1, MOST_TIED)),
    Toggle("ttl_not_enforced", _without_ttl, _is_expired),
)
"""In the order they are tried: of two that reproduce a cell in as few changes, the first is named. Of one reading's
paths the one in this order is taken, so what gives another row stands before what only lets it count."""


@dataclass(frozen=True)
class Path:
    """Readings stepped through, each by one toggle, from a reading on."""

    start: Reading
    steps: tuple[tuple[Toggle, Reading], ...] = ()

    @property
    def reading(self) -> Reading:
        return self.steps[-1][1] if self.steps else self.start


def paths(start: Reading, toggles: Sequence[Toggle] = TOGGLES) -> Iterator[list[Path]]:
    """Every combination of toggles, by their number: none, one, two... A reading is reached once, by the first of its
    shortest paths. What is ahead of the ledger has not lagged."""
    seen = {start}
    ways = [Path(start)]
    for _ in range(MOST_CHANGES + 1):
        yield ways
        longer = []
        for way in ways:
            ahead = any(toggle.cause == "ahead_of_ledger" for toggle, _ in way.steps)
            for toggle in toggles:
                after = toggle.change(way.reading)
                if after is not None and after not in seen and not (ahead and toggle.cause == "lag"):
                    seen.add(after)
                    longer.append(Path(start, (*way.steps, (toggle, after))))
        ways = longer
