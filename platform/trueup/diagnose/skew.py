"""From offline features to the features as served: what each cause, and each feature, does to the metric. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trueup.diagnose.drawn import DrawnSplit, DrawnTerm
from trueup.diagnose.facts import Missing, ServedFacts
from trueup.diagnose.games import EXACT_PLAYERS, ORDERS, Coalition, shapley
from trueup.diagnose.metrics import Floats, MetricKind
from trueup.diagnose.mixing import Mixer, Switch, by_causes, by_features, cells_of
from trueup.diagnose.samples import Draws, Sample, Scored, measure
from trueup.diagnose.six import OF_PARITY

Progress = Callable[[str], None]


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
    features, switch = by_features(mixer.cells)
    values = play(len(features), switch, feature_replicates, "by feature")
    by_feature = DrawnSplit(
        "feature",
        tuple(
            DrawnTerm(name, draws, cells=int(mixer.cells[name].sum()), of=facts.compared.get(name, facts.num_rows))
            for name, draws in zip(features, values, strict=True)
        ),
        note=_note(len(features), "features"),
    )
    return Skew(mixer.base, served, by_cause, by_feature, cells)


def _scored(labels: Floats, predictions: Floats) -> Scored:
    return Scored(np.arange(len(labels), dtype=np.int64), labels, predictions)


def _note(players: int, what: str) -> str | None:
    if players <= EXACT_PLAYERS:
        return None
    return f"{players} {what} have too many orders to take each: {ORDERS} of them were drawn"
