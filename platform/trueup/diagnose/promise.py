"""From the holdout metric as it was logged to the same model on the holdout as it is read today. Pure.

The chain has a link for each thing that can have moved: logged -> the predictions that were kept with the run (the
code that measured) -> the kept model here, on the snapshot (the environment; or another fit, where the model in the
store is not the one that was recorded) -> on the holdout as the sources say it now (data) -> under the definitions that
rows were served by (code). All of it is measured on one set of rows, drawn together by their ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trueup.diagnose.drawn import NOTHING, DrawnTerm, is_nothing
from trueup.diagnose.enough import too_few
from trueup.diagnose.facts import HoldoutFacts, Known, Missing, Predicted
from trueup.diagnose.metrics import MetricKind
from trueup.diagnose.samples import Draws, Sample, Scored, measure
from trueup.diagnose.six import OF_FACTOR, SixCause

MEASURING = "the code that measured"
FIT = "another fit was kept"
ENVIRONMENT = "environment"
DATA = "data"
DEFINITIONS = "definitions"
UNTOLD = "not told apart"


@dataclass(frozen=True)
class Promise:
    """logged, recomputed: draws of the two states. rows: of the holdout, for each. terms: of the links that could be
    measured, in their order. last: the rows of the last link, for the population step; sample: what they are drawn
    by."""

    logged: Known[Draws]
    recomputed: Known[Draws]
    rows: tuple[int | None, int | None]
    terms: tuple[DrawnTerm, ...]
    last: Predicted | None
    sample: Sample | None


@dataclass(frozen=True)
class _Node:
    name: str
    predicted: Predicted
    draws: Draws


def promise(facts: HoldoutFacts, kind: MetricKind, *, replicates: int, seed: int) -> Promise:
    """The two ends, and what lies between them."""
    logged = facts.logged if isinstance(facts.logged, Missing) else facts.logged.get(kind.name)
    named = {"recorded": facts.recorded, "kept": facts.kept, "today": facts.today}
    if facts.as_served is not None:
        named["as served"] = facts.as_served
    known = {name: found for name, found in named.items() if isinstance(found, Predicted)}
    small = {name: why for name, found in known.items() if (why := too_few(kind, found.labels, "the holdout has"))}
    known = {name: found for name, found in known.items() if name not in small}
    nodes, sample = _measured(known, kind, replicates, seed)
    start = _start(logged, nodes, kind, replicates)
    last = "as served" if facts.as_served is not None else "today"
    end: Known[Draws]
    if nodes and nodes[-1].name == last:
        end = nodes[-1].draws
    else:
        problem = named[last]
        end = problem if isinstance(problem, Missing) else Missing(small[last])
    rows = len(nodes[0].predicted.ids) if nodes else None
    return Promise(
        logged=start,
        recomputed=end,
        rows=(rows, len(nodes[-1].predicted.ids) if nodes and not isinstance(end, Missing) else None),
        terms=tuple(_links(start, nodes, facts)),
        last=nodes[-1].predicted if nodes and not isinstance(end, Missing) else None,
        sample=sample,
    )


def _measured(
    known: dict[str, Predicted], kind: MetricKind, replicates: int, seed: int
) -> tuple[list[_Node], Sample | None]:
    if not known:
        return [], None
    ids = np.concatenate([found.ids for found in known.values()])
    units, number = np.unique(ids.astype(str), return_inverse=True)
    sample = Sample(number.astype(np.int64), len(units), (seed, 0))
    begin, scored = 0, []
    for found in known.values():
        rows = np.arange(begin, begin + len(found.ids), dtype=np.int64)
        scored.append(Scored(rows, found.labels, found.predictions))
        begin += len(found.ids)
    draws = measure(kind, sample, scored, replicates)
    nodes = [_Node(name, found, each) for (name, found), each in zip(known.items(), draws, strict=True)]
    last = Sample(sample.unit[len(ids) - len(nodes[-1].predicted.ids) :], len(units), sample.seed)
    return nodes, last


def _start(logged: float | Missing | None, nodes: Sequence[_Node], kind: MetricKind, replicates: int) -> Known[Draws]:
    """The logged metric; one that the run did not log is that of the predictions it kept."""
    if isinstance(logged, Missing):
        return logged
    if logged is not None:
        return _anchored(logged, nodes, replicates)
    if nodes and nodes[0].name == "recorded":
        return nodes[0].draws
    return Missing(f"the run recorded no {kind.title} of its holdout, nor its predictions")


def _anchored(logged: float, nodes: Sequence[_Node], replicates: int) -> Draws:
    """A number alone has no draws of its own. It was measured on the holdout, so it moves as what is nearest to it."""
    if not nodes:
        return np.full(replicates + 1, logged)
    if abs(logged - float(nodes[0].draws[0])) <= NOTHING:
        return nodes[0].draws
    moved: Draws = nodes[0].draws + (logged - float(nodes[0].draws[0]))
    return moved


def _links(start: Known[Draws], nodes: Sequence[_Node], facts: HoldoutFacts) -> Iterator[DrawnTerm]:
    before, draws = "logged", start
    for node in nodes:
        if not isinstance(draws, Missing):
            effect = node.draws - draws
            name, cause = _named(before, node.name, facts)
            if is_nothing(effect):
                effect = np.zeros_like(effect)
            yield DrawnTerm(name, effect, cause)
        before, draws = node.name, node.draws


def _named(before: str, after: str, facts: HoldoutFacts) -> tuple[str, SixCause | None]:
    match (before, after):
        case ("logged", "recorded"):
            return MEASURING, "code"
        case ("recorded", "kept"):
            return _fit_or_environment(facts)
        case ("kept", "today"):
            return DATA, "data"
        case ("today", "as served"):
            return DEFINITIONS, "code"
    return f"{UNTOLD}: from {before} to {after}", None


def _fit_or_environment(facts: HoldoutFacts) -> tuple[str, SixCause | None]:
    """The same fit that predicts other numbers here is the environment's doing. Of another fit only training again can
    say why; without that, the one thing a run cannot pin down by itself is randomness."""
    if facts.same_fit is None:
        return f"{UNTOLD}: environment, or another fit", None
    if facts.same_fit:
        return ENVIRONMENT, "environment"
    causes = {OF_FACTOR[name] for name in facts.culprits or () if name in OF_FACTOR}
    return FIT, causes.pop() if len(causes) == 1 else "randomness"
