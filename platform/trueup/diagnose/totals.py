"""What each of the six causes explains of the gap, over all steps, and whether it is more than chance. Pure.

A cause is claimed where its interval leaves zero out at a confidence of 1 - 5 % / 6: looking at six causes at once
would otherwise find one in nearly every third ledger that has none (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from trueup.diagnose.drawn import DrawnSplit, DrawnTerm, is_nothing
from trueup.diagnose.facts import Facts, Missing
from trueup.diagnose.gap_ledger import CONFIDENCE, CauseTotal
from trueup.diagnose.metrics import MetricKind
from trueup.diagnose.online import Online
from trueup.diagnose.promise import DATA, ENVIRONMENT, FIT, MEASURING, Promise
from trueup.diagnose.samples import Draws, estimate
from trueup.diagnose.six import ADVICE, SIX, SixCause
from trueup.diagnose.words import cause_sentence

CLAIM_CONFIDENCE = 1 - (1 - CONFIDENCE) / len(SIX)


class HasSplits(Protocol):
    @property
    def splits(self) -> tuple[DrawnSplit, ...]: ...


def cause_totals(
    steps: Iterable[HasSplits], kind: MetricKind, facts: Facts, first: Promise, second: Online
) -> tuple[CauseTotal, ...]:
    """All six, by the size of their effect; what was not measured comes last, in the order of `SIX`."""
    terms = [term for step in steps for split in step.splits if split.counts for term in split.terms]
    unseen = {cause: tuple(_not_measured(cause, facts, first, second)) for cause in SIX}
    measured = {cause: _is_measured(cause, first, second) for cause in SIX}
    totals = [_total(cause, terms, kind, measured[cause], unseen[cause]) for cause in SIX]
    return tuple(sorted(totals, key=lambda total: -1.0 if total.effect is None else -abs(total.effect.value) - 2.0))


def _total(
    cause: SixCause, terms: Sequence[DrawnTerm], kind: MetricKind, measured: bool, unseen: tuple[str, ...]
) -> CauseTotal:
    mine = [term for term in terms if term.cause == cause]
    draws: Draws | None = np.sum([term.draws for term in mine], axis=0) if mine else None
    missing = "; ".join(unseen) or None
    if draws is None and not measured:
        return CauseTotal(cause, None, False, False, f"Not measured: {missing}.", ADVICE[cause], missing)
    draws = np.zeros(2) if draws is None else draws
    effect = estimate(draws)
    claimed = not is_nothing(draws) and estimate(draws, CLAIM_CONFIDENCE).clear
    worse = effect.value < 0 if kind.higher_is_better else effect.value > 0
    sentence = cause_sentence(cause, mine, claimed=claimed, missing=missing)
    return CauseTotal(cause, effect, claimed, claimed and worse, sentence, ADVICE[cause], missing)


def _links(first: Promise) -> set[str]:
    return {term.name for term in first.terms}


def _is_measured(cause: SixCause, first: Promise, second: Online) -> bool:
    """Whether any step that could show the cause was measured."""
    links, skewed = _links(first), second.skew is not None
    answered = not isinstance(second.served, Missing)
    of: Mapping[SixCause, bool] = {
        "environment": ENVIRONMENT in links or answered,
        "data": DATA in links or skewed,
        "code": MEASURING in links,
        "randomness": bool(links & {ENVIRONMENT, FIT}),
        "feature logic": skewed,
        "serving": skewed or answered,
    }
    return of[cause]


def _not_measured(cause: SixCause, facts: Facts, first: Promise, second: Online) -> Iterator[str]:
    """What could have shown the cause and was not there, as sentences' ends."""
    links, holdout = _links(first), facts.holdout
    if cause == "code" and MEASURING not in links:
        yield _reason(holdout.logged, holdout.recorded, else_="the run kept no predictions of its holdout")
    if cause in ("environment", "randomness") and not links & {ENVIRONMENT, FIT}:
        unrecorded = holdout.same_fit is None
        unknown = "the run recorded nothing of what it learned" if unrecorded else "it was not scored again"
        yield _reason(holdout.recorded, holdout.kept, else_=unknown)
    if cause == "environment" and isinstance(second.served, Missing):
        yield f"no served prediction was looked at: {second.served.why}"
    if cause == "data" and DATA not in links:
        yield f"the holdout was not read again: {_reason(holdout.kept, holdout.today, else_='it could not be scored')}"
    if cause in ("data", "feature logic", "serving") and second.skew is None:
        offline = second.population
        yield offline.why if isinstance(offline, Missing) else "the served features were not recomputed"


def _reason(*values: object, else_: str) -> str:
    return next((value.why for value in values if isinstance(value, Missing)), else_)
