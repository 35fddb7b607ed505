"""From offline features to the features as served: what each cause, and each feature, does to the metric. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trueup.diagnose.drawn import DrawnSplit, DrawnTerm
from trueup.diagnose.facts import Missing, ServedFacts
from trueup.diagnose.games import EXACT_PLAYERS, ORDERS, Coalition, shapley
from trueup.diagnose.metrics import Floats, MetricKind, weighted
from trueup.diagnose.mixing import Mixer, Switch, by_causes, by_groups, cells_of
from trueup.diagnose.samples import Draws, Sample, Scored, measure
from trueup.diagnose.six import OF_PARITY

Progress = Callable[[str], None]
MOST_FEATURES = 8
"""Features that stand for themselves in the split by feature."""


@dataclass(frozen=True)
class Skew:
    """population: predictions on offline features; served: on those as served; both of every row. causes, features:
    the splits; none where the two are the same. cells: cause -> feature -> cells."""

    population: Floats
    served: Floats
    causes: DrawnSplit | None
    features: DrawnSplit | None
    cells: dict[str, dict[str, int]]


def skew(
    kind: MetricKind,
    facts: ServedFacts,
    inputs: Sequence[str],
    sample: Sample,
    *,
    replicates: int,
    feature_replicates: int,
    progress: Progress,
) -> Skew:
    """facts: rows with a known outcome, whose offline features are known. sample: of them."""
    assert not isinstance(facts.offline, Missing)
    mixer = Mixer(facts.offline, facts.served, facts.mismatches, inputs, facts.predict)
    served = mixer.predictions(mixer.cells)
    if not mixer.cells:
        return Skew(mixer.base, served, None, None, {})
    causes, switch = by_causes(mixer.cells, facts.causes)
    cells = {name: cells_of(name, mixer.cells, facts.causes) for name in causes}
    compared = sum(facts.compared.get(name, facts.num_rows) for name in mixer.cells)

    def play(players: int, of: Switch, count: int, what: str) -> list[Draws]:
        def worth(sets: Sequence[Coalition]) -> list[Draws]:
            progress(f"predict {len(sets):,} mixtures of served and offline features ({what})")
            scored = [_scored(facts.labels, mixer.predictions(of(one))) for one in sets]
            return measure(kind, sample, scored, count)

        return shapley(players, worth)

    values = play(len(causes), switch, replicates, "by cause")
    by_cause = DrawnSplit(
        "cause",
        tuple(
            DrawnTerm(name, draws, OF_PARITY.get(name), cells=sum(cells[name].values()), of=compared)
            for name, draws in zip(causes, values, strict=True)
        ),
        note=_note(len(causes), "causes"),
        counts=True,
    )
    progress(f"predict each of {len(mixer.cells)} features as served, and all but it")
    groups = _grouped(mixer, served, lambda predictions: _point(kind, facts.labels, predictions))
    values = play(len(groups), by_groups(mixer.cells, groups), feature_replicates, "by feature")
    by_feature = DrawnSplit(
        "feature",
        tuple(
            DrawnTerm(
                group[0] if len(group) == 1 else f"{len(group)} other features",
                draws,
                cells=sum(int(mixer.cells[name].sum()) for name in group),
                of=sum(facts.compared.get(name, facts.num_rows) for name in group),
            )
            for group, draws in zip(groups, values, strict=True)
        ),
        note=_note(len(groups), "features"),
    )
    return Skew(mixer.base, served, by_cause, by_feature, cells)


def _grouped(mixer: Mixer, served: Floats, point: Callable[[Floats], float]) -> tuple[tuple[str, ...], ...]:
    """The features that do most, alone or to all others, each by itself; the rest as one: they would cost most of the
    time and say next to nothing."""
    if len(mixer.cells) <= MOST_FEATURES + 1:
        return tuple((name,) for name in mixer.cells)
    nothing, everything = point(mixer.base), point(served)
    weight = {}
    for name, mask in mixer.cells.items():
        alone = point(mixer.predictions({name: mask})) - nothing
        without = {other: cells for other, cells in mixer.cells.items() if other != name}
        weight[name] = abs(alone) + abs(everything - point(mixer.predictions(without)))
    first = sorted(weight, key=lambda name: (-weight[name], name))[:MOST_FEATURES]
    rest = tuple(name for name in mixer.cells if name not in first)
    return (*((name,) for name in mixer.cells if name in first), rest)


def _point(kind: MetricKind, labels: Floats, predictions: Floats) -> float:
    return float(weighted(kind, labels, predictions, lambda rows: np.ones((1, len(rows))))[0])


def _scored(labels: Floats, predictions: Floats) -> Scored:
    return Scored(np.arange(len(labels), dtype=np.int64), labels, predictions)


def _note(players: int, what: str) -> str | None:
    if players <= EXACT_PLAYERS:
        return None
    return f"{players} {what} have too many orders to take each: {ORDERS} of them were drawn"
