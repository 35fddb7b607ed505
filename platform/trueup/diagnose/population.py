"""From the holdout to the served population, segment by segment. Pure.

A segment's value (Shapley) is what it does to the metric when its holdout rows make way for its served rows, at the
share each has of its own population, averaged over every order: other shares of the segments and another metric within
one are both in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from trueup.diagnose.drawn import DrawnSplit, DrawnTerm
from trueup.diagnose.facts import Mask, Predicted, Texts
from trueup.diagnose.games import Coalition, shapley
from trueup.diagnose.metrics import Floats, MetricKind
from trueup.diagnose.samples import Draws, Sample, Scored, measure_pooled

MOST_LEVELS = 4
"""Levels of a segment that stand for themselves, by their rows; the others are one."""
OTHERS = "all others"


def by_segments(
    kind: MetricKind,
    holdout: tuple[Sample, Predicted, Mapping[str, Texts]],
    served: tuple[Sample, Floats, Floats, Mapping[str, Texts]],
    *,
    replicates: int,
) -> Iterator[DrawnSplit]:
    """A split for each column that both sides have. served: sample, labels, predictions and segments of its rows."""
    mine, theirs = holdout[2], served[3]
    for column in mine:
        if column in theirs:
            yield _split(kind, column, holdout, served, replicates)


def levels(column: str, holdout: Mapping[str, Texts], served: Mapping[str, Texts]) -> tuple[str, ...]:
    """The levels that stand for themselves, the largest first."""
    values = np.concatenate([holdout[column], served[column]]).astype(str)
    names, counts = np.unique(values, return_counts=True)
    order = np.lexsort((names, -counts))
    most = len(names) if len(names) <= MOST_LEVELS + 1 else MOST_LEVELS
    return tuple(str(names[at]) for at in order[:most])


def _split(
    kind: MetricKind,
    column: str,
    holdout: tuple[Sample, Predicted, Mapping[str, Texts]],
    served: tuple[Sample, Floats, Floats, Mapping[str, Texts]],
    replicates: int,
) -> DrawnSplit:
    sample, predicted, segments = holdout
    served_sample, labels, predictions, served_segments = served
    named = levels(column, segments, served_segments)
    first = _numbers(segments[column], named)
    second = _numbers(served_segments[column], named)
    players = int(max(first.max(initial=0), second.max(initial=0))) + 1
    before, after = float(len(first)), float(len(second))

    def worth(sets: Sequence[Coalition]) -> list[Draws]:
        stay, come = [], []
        for coalition in sets:
            there = np.isin(first, list(coalition), invert=True)
            here = np.isin(second, list(coalition))
            stay.append(_part(there, predicted.labels, predicted.predictions, before))
            come.append(_part(here, labels, predictions, after))
        return measure_pooled(kind, [(sample, stay), (served_sample, come)], replicates)

    titles = (*named, OTHERS)[:players]
    values = shapley(players, worth)
    terms = (
        DrawnTerm(title, draws, cells=int((second == at).sum()), of=len(second))
        for at, (title, draws) in enumerate(zip(titles, values, strict=True))
    )
    return DrawnSplit("segment", tuple(terms), what=column)


def _part(mask: Mask, labels: Floats, predictions: Floats, rows: float) -> Scored:
    chosen = np.flatnonzero(mask).astype(np.int64)
    return Scored(chosen, labels[chosen], predictions[chosen], np.full(len(chosen), 1 / rows))


def _numbers(values: Texts, named: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each value among the named levels; the others are one more."""
    places = {name: at for at, name in enumerate(named)}
    return np.array([places.get(str(value), len(named)) for value in values])
