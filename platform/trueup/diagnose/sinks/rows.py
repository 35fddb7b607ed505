"""What every sink shows of a ledger, row by row, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from trueup.diagnose.gap_ledger import CauseTotal, Estimate, GapLedger, Split, State, Step, Term
from trueup.diagnose.words import signed

SPLIT_BY = {
    "factor": "by what moved",
    "segment": "by segment",
    "cause": "by cause",
    "feature": "by feature",
    "reason": "by who answered",
}


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


def split_title(split: Split) -> str:
    return SPLIT_BY[split.by] + (f" ({split.what})" if split.what else "")


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
