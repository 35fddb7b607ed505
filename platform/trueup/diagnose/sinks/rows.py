"""What every sink shows of a ledger, row by row, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from trueup.diagnose.gap_ledger import CauseTotal, Estimate, GapLedger, Split, State, Step, Term
from trueup.diagnose.metrics import METRICS
from trueup.diagnose.words import signed
from trueup.wording import counted

SPLIT_BY = {
    "factor": "by what moved",
    "segment": "by segment",
    "cause": "by cause",
    "feature": "by feature",
    "reason": "by who answered",
}
MOST_TERMS = 9
"""Terms of a split that are shown by themselves; the rest is one line. One line more would say less."""


def metric_title(ledger: GapLedger) -> str:
    """`AUC`."""
    kind = METRICS.get(ledger.metric)
    return kind.title if kind else ledger.metric


def level(state: State) -> str:
    return "-" if state.estimate is None else f"{state.estimate.value:.4f}"


def effect(estimate: Estimate | None) -> str:
    return "-" if estimate is None else signed(estimate.value)


def bounds(estimate: Estimate | None, *, sign: bool = True) -> str:
    """The interval; `-` without one."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "-"
    if not sign:
        return f"{estimate.low:.4f} to {estimate.high:.4f}"
    return f"{signed(estimate.low)} to {signed(estimate.high)}"


def waterfall(ledger: GapLedger) -> Iterator[tuple[State | None, Step | None]]:
    """States and the steps between them, in order; a step over several states comes without those in between."""
    states = {state.name: state for state in ledger.states}
    for at, step in enumerate(ledger.steps):
        if at == 0:
            yield states[step.start], None
        yield None, step
        yield states[step.end], None


def splits(ledger: GapLedger) -> Iterator[tuple[Step, Split]]:
    """Those that have anything to show."""
    for step in ledger.steps:
        for split in step.splits:
            if any(term.effect.value for term in split.terms):
                yield step, split


def split_title(split: Split) -> str:
    return SPLIT_BY[split.by] + (f" ({split.what})" if split.what else "")


def shown_terms(split: Split) -> tuple[Term, ...]:
    """The first of them, and the sum of the rest as one more, without an interval: the terms still add up."""
    if len(split.terms) <= MOST_TERMS + 1:
        return split.terms
    rest = split.terms[MOST_TERMS:]
    total = Estimate(sum(term.effect.value for term in rest))
    return (*split.terms[:MOST_TERMS], Term(counted(len(rest), "smaller one"), total))


def share(term: Term) -> str:
    """`98,007 of 241,500`, or nothing."""
    return "" if term.cells is None or term.of is None else f"{term.cells:,} of {term.of:,}"


def judged(total: CauseTotal) -> str:
    if total.effect is None:
        return "not measured"
    if total.claimed:
        return "cause" if total.harmful else "cause of a gain"
    found = "within chance" if total.effect.value else "nothing"
    return found if total.missing is None else f"{found} in what was measured"


def not_looked_at(ledger: GapLedger) -> list[tuple[str, str]]:
    """(causes, why): what of the six was not measured, each reason once."""
    reasons: dict[str, list[str]] = {}
    for total in ledger.causes:
        if total.missing is not None:
            reasons.setdefault(total.missing, []).append(total.cause)
    return [(", ".join(causes), why) for why, causes in reasons.items()]


def rounding(ledger: GapLedger) -> str | None:
    """A footnote where the printed numbers, rounded one by one, do not add up to the digit."""
    steps = [step.effect for step in ledger.steps if step.effect is not None]
    sums = [(step.effect, [term.effect for term in shown_terms(split)]) for step, split in splits(ledger)]
    sums.append((ledger.gap, steps))
    if all(total is None or _adds_up(total, parts) for total, parts in sums) and _levels_add_up(ledger):
        return None
    return (
        "Numbers are rounded one by one, so sums of printed ones may differ in the last digit; the exact ones add up."
    )


def _levels_add_up(ledger: GapLedger) -> bool:
    """Whether each printed step leads from one printed state to the next."""
    states = {state.name: state.estimate for state in ledger.states}
    for step in ledger.steps:
        before, after = states[step.start], states[step.end]
        moves = before is not None and after is not None and step.effect is not None
        if moves and _printed(before) + _printed(step.effect) != _printed(after):
            return False
    return True


def _adds_up(total: Estimate, parts: Iterable[Estimate]) -> bool:
    return sum((_printed(part) for part in parts), Decimal()) == _printed(total)


def _printed(estimate: Estimate | None) -> Decimal:
    assert estimate is not None
    return Decimal(f"{estimate.value:.4f}")
