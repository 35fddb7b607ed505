"""Facts to a `GapLedger`. Pure: the same facts and seed give the same ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np

from trueup.diagnose import words
from trueup.diagnose.drawn import DrawnSplit, DrawnTerm
from trueup.diagnose.facts import Facts, Known, Missing
from trueup.diagnose.gap_ledger import GapLedger, State, StateName, Step, StepName
from trueup.diagnose.metrics import MetricKind
from trueup.diagnose.online import Online, online
from trueup.diagnose.population import by_segments
from trueup.diagnose.promise import UNTOLD, Promise, promise
from trueup.diagnose.samples import Draws, estimate
from trueup.diagnose.skew import Progress
from trueup.diagnose.totals import cause_totals

REPLICATES = 1000
SPLIT_REPLICATES = 200
"""Of splits that need many mixtures and that no cause is claimed by: by feature and by segment."""

STATES: Mapping[StateName, str] = {
    "logged": "holdout as logged at training",
    "recomputed": "holdout recomputed today",
    "population": "served requests, offline features",
    "features": "features as served",
    "served": "predictions as served",
    "matured": "matured outcomes only",
}
STEP_TO: Mapping[StateName, StepName] = {
    "recomputed": "reproduction",
    "population": "population shift",
    "features": "feature skew",
    "served": "serving",
    "matured": "label delay",
}
"""The step that ends in a state."""


@dataclass(frozen=True)
class Asked:
    """What a ledger is asked for. outcome: name of the imported one. at: the instant outcomes count until. replicates:
    of the bootstrap; splits by feature and by segment take fewer. seed: of its draws."""

    kind: MetricKind
    outcome: str
    at: datetime
    since: datetime | None = None
    until: datetime | None = None
    replicates: int = REPLICATES
    split_replicates: int = SPLIT_REPLICATES
    seed: int = 0


def build_ledger(
    facts: Facts, asked: Asked, *, described: Mapping[str, str] | None = None, progress: Progress = lambda _: None
) -> GapLedger:
    """described: what the facts were made from, as text, kept with the ledger."""
    kind = asked.kind
    progress("draw the holdout again")
    first = promise(facts.holdout, kind, replicates=asked.replicates, seed=asked.seed)
    second = online(
        facts,
        kind,
        asked.outcome,
        replicates=asked.replicates,
        feature_replicates=min(asked.split_replicates, asked.replicates),
        seed=asked.seed,
        progress=progress,
    )
    draws = _states(first, second)
    rows = _rows(first, second)
    splits = _splits(facts, first, second, asked, progress)
    steps = _steps(draws, splits, first)
    shown = tuple(
        words.told(
            Step(
                names=step.names,
                title=" and ".join(step.names),
                start=step.start,
                end=step.end,
                effect=None if step.draws is None else estimate(step.draws),
                splits=tuple(split.shown() for split in step.splits),
                missing=step.missing,
            ),
            kind,
            facts,
            second,
        )
        for step in steps
    )
    gap = _gap(draws)
    ledger = GapLedger(
        model=facts.model,
        version=facts.version,
        metric=kind.name,
        higher_is_better=kind.higher_is_better,
        outcome=asked.outcome,
        at=asked.at,
        since=asked.since,
        until=asked.until,
        states=tuple(
            State(
                name,
                title,
                None if isinstance(found, Missing) else estimate(found),
                rows[name],
                found.why if isinstance(found, Missing) else None,
            )
            for (name, title), found in zip(STATES.items(), draws.values(), strict=True)
        ),
        steps=shown,
        gap=None if gap is None else estimate(gap),
        causes=cause_totals(steps, kind, facts, first, second),
        summary="",
        replicates=asked.replicates,
        seed=asked.seed,
        counts=facts.served.counts if not isinstance(facts.served, Missing) else {},
        facts=described or {},
        notes=(*facts.notes, *words.notes(facts)),
    )
    return replace(ledger, summary=words.summary(ledger, kind))


@dataclass(frozen=True)
class DrawnStep:
    """See `Step`. draws: None where an end is missing."""

    names: tuple[StepName, ...]
    start: StateName
    end: StateName
    draws: Draws | None
    splits: tuple[DrawnSplit, ...] = ()
    missing: str | None = None


def _states(first: Promise, second: Online) -> dict[StateName, Known[Draws]]:
    return {
        "logged": first.logged,
        "recomputed": first.recomputed,
        "population": second.population,
        "features": second.features,
        "served": second.served,
        "matured": second.matured,
    }


def _rows(first: Promise, second: Online) -> dict[StateName, int | None]:
    served, mature = second.rows
    return {
        "logged": first.rows[0],
        "recomputed": first.rows[1],
        "population": served,
        "features": served,
        "served": served,
        "matured": mature,
    }


def _gap(draws: Mapping[StateName, Known[Draws]]) -> Draws | None:
    start, end = draws["logged"], draws["matured"]
    return None if isinstance(start, Missing) or isinstance(end, Missing) else end - start


def _splits(
    facts: Facts, first: Promise, second: Online, asked: Asked, progress: Progress
) -> dict[StepName, tuple[DrawnSplit, ...]]:
    """Of each step by itself."""
    found: dict[StepName, tuple[DrawnSplit, ...]] = {}
    if first.terms:
        found["reproduction"] = (DrawnSplit("factor", first.terms, counts=True),)
    if second.skew is not None and second.skew.causes is not None and second.skew.features is not None:
        found["feature skew"] = (second.skew.causes, second.skew.features)
    if second.reasons is not None:
        found["serving"] = (second.reasons,)
    if first.last is not None and first.sample is not None and second.base is not None:
        assert second.facts is not None
        assert second.sample is not None
        progress("split the population by segment")
        found["population shift"] = tuple(
            by_segments(
                asked.kind,
                (first.sample, first.last, facts.holdout.segments),
                (second.sample, second.facts.labels, second.base, second.facts.segments),
                replicates=min(asked.split_replicates, asked.replicates),
            )
        )
    return found


def _steps(
    draws: Mapping[StateName, Known[Draws]], splits: Mapping[StepName, tuple[DrawnSplit, ...]], first: Promise
) -> list[DrawnStep]:
    """A step between each two states that were measured and have none between them that was."""
    names = list(draws)
    known = [at for at, name in enumerate(names) if not isinstance(draws[name], Missing)]
    ends = sorted({0, *known, len(names) - 1})
    steps = []
    for begin, end in pairwise(ends):
        between = names[begin + 1 : end + 1]
        steps_of = tuple(STEP_TO[name] for name in between)
        why = _why(draws, names[begin : end + 1])
        before, after = draws[names[begin]], draws[names[end]]
        if isinstance(before, Missing) or isinstance(after, Missing):
            steps.append(DrawnStep(steps_of, names[begin], names[end], None, missing=why))
            continue
        effect = after - before
        mine = splits.get(steps_of[0], ()) if len(steps_of) == 1 else _of_merged(steps_of, effect, first)
        steps.append(DrawnStep(steps_of, names[begin], names[end], effect, mine, why))
    return steps


def _of_merged(steps: Sequence[StepName], effect: Draws, first: Promise) -> tuple[DrawnSplit, ...]:
    """What of a step that stands for several is known all the same: the links of the promise that could be measured."""
    if steps[0] != "reproduction" or not first.terms:
        return ()
    rest = effect - np.sum([term.draws for term in first.terms], axis=0)
    return (DrawnSplit("factor", (*first.terms, DrawnTerm(f"{UNTOLD}: the rest", rest)), counts=True),)


def _why(draws: Mapping[StateName, Known[Draws]], states: Sequence[StateName]) -> str | None:
    """Each reason once, with the states it is why of."""
    reasons: dict[str, list[str]] = {}
    for name in states:
        found = draws[name]
        if isinstance(found, Missing):
            reasons.setdefault(found.why, []).append(STATES[name])
    return "; ".join(f"{', '.join(titles)}: {why}" for why, titles in reasons.items()) or None
