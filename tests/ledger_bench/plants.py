"""What can be planted, how much of it, and which worlds there are. Values only: worlds are built, and their truth is
computed, elsewhere and twice."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, count, cycle, islice, product

import numpy as np

from trueup.diagnose.metrics import MetricName
from trueup.diagnose.six import SIX, SixCause

PLANTS: Mapping[str, SixCause] = {
    "labels put right": "data",
    "a leak put right": "data",
    "another definition served": "code",
    "a wrong number logged": "code",
    "other numbers by the server": "environment",
    "other numbers at training": "environment",
    "a luckier fit": "randomness",
    "late arrival": "feature logic",
    "missed materialization": "serving",
    "answered without features": "serving",
    "an older version": "serving",
}
"""Plant -> the cause it is of."""

FLIPPED = 0.12
"""Share of holdout labels that were wrong when the snapshot was taken, at random."""
LEAK = 0.9
"""What `load` had of the label then: added for a positive, half of it taken away again on average."""
CLIP = 0.0
"""The most that `load` is under the other definition."""
TOO_GOOD: Mapping[MetricName, float] = {"auc": 0.03, "brier": -0.02, "log_loss": -0.05}
"""By how much the logged number is not that of the predictions."""
LOGIT_NOISE = 1.0
"""Standard deviation of what other numbers differ by."""
REQUESTS, ROWS_OF_REQUEST = 100, 20
KNOWN, MATURE = 92, 88
"""Of the requests, in the order they came, those whose outcome is known, and those whose label delay is over."""
MISSED = 32
"""Of the known requests, those that were answered from before a materialization."""
UNANSWERED = 11
"""Of the known requests, those for which the online store did not answer."""
OLDER = 0.4
"""Share of rows that an older version answered."""

METRICS: tuple[MetricName, ...] = ("auc", "brier", "log_loss")
UNTELLABLE = frozenset({"environment", "randomness"})
"""With another fit in the store than was recorded, nobody can say which of the two the server had loaded: its other
numbers are shown, and belong to no cause."""


@dataclass(frozen=True)
class Plan:
    """A world to be built. plants: of `PLANTS`. harmless: causes of which it has a kind that
    does not matter. shifted: other people are served than the
    holdout has. seed: of everything drawn in it."""

    plants: tuple[str, ...]
    harmless: tuple[SixCause, ...]
    shifted: bool
    metric: MetricName
    seed: int

    def random(self, what: int) -> np.random.Generator:
        """Draws of one kind. Of streams that the ledger's bootstrap does not have, whose seeds are (seed, 0) and
        (seed, 1): rows must not be drawn again by the very numbers that they were made from."""
        return np.random.default_rng([7919, self.seed, what])

    @property
    def causes(self) -> tuple[SixCause, ...]:
        return tuple(PLANTS[name] for name in self.plants)

    @property
    def kind(self) -> str:
        """`none`, the cause, or both: as the result names it."""
        return " + ".join(sorted(self.causes, key=SIX.index)) or "none"


def plants_of(cause: SixCause) -> tuple[str, ...]:
    return tuple(name for name, of in PLANTS.items() if of == cause)


def plans(each: int, each_pair: int, none: int, *, seed: int = 0) -> Iterator[Plan]:
    """each: worlds of every single cause; each_pair: of every pair; none: without one."""
    numbers = count(seed * 1_000_000)
    vary = random.Random(seed)

    def plan(plants: tuple[str, ...], harmless: tuple[SixCause, ...] = ()) -> Plan:
        return Plan(plants, harmless, vary.random() < 0.5, vary.choice(METRICS), next(numbers))

    for cause in SIX:
        for name in islice(cycle(plants_of(cause)), each):
            yield plan((name,))
    for first, second in combinations(SIX, 2):
        both = [pair for pair in product(plants_of(first), plants_of(second)) if pair not in _NOT_TOGETHER]
        for pair in islice(cycle(both), each_pair):
            yield plan(pair)
    # Every other one has five at once: that is where a ledger is most likely to claim one.
    most = [tuple(cause for cause in SIX if cause != other) for other in ("environment", "randomness")]
    noises = [noise for at, one in enumerate(SIX) for noise in ((one,), most[at % 2])]
    for noise in islice(cycle(noises), none):
        yield plan((), noise)


_NOT_TOGETHER = {("other numbers at training", "a luckier fit")}
"""Both are the one difference between the predictions that were kept and those of the kept model."""
