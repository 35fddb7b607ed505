"""Evidence about the model as it is served: one pure function of `Facts` for each item."""

from __future__ import annotations

from collections import Counter

import numpy as np

from trueup.gate.facts import Facts, NotAsked, TrialFacts, Unknown
from trueup.gate.said import Said, few
from trueup.parity.results import AnyResult, Result, joint_verdict
from trueup.wording import counted


def load_and_query(facts: Facts) -> Said:
    """A server that was really started with it answers every request, with the bits that the kept model gives."""
    found = facts.trial
    if not isinstance(found, TrialFacts):
        return ("not applicable" if isinstance(found, NotAsked) else "could not run"), found.why
    if found.refused is not None:
        return "fail", f"the server does not start with it: {found.refused}"
    asked = f"{counted(found.requests, 'request')} of {counted(found.rows, 'holdout row')}"
    if not found.answered:
        why = f" {few(found.failed)}." if found.failed else ""
        return ("fail" if found.failed else "could not run"), f"no answer could be compared, of {asked}.{why}"
    if found.differing:
        return "fail", f"{found.differing:,} of {counted(found.answered, 'answer')} are not the kept model's bits."
    if found.unlogged:
        return "fail", f"{found.unlogged:,} of {counted(found.answered, 'answer')} are not in the server's log."
    unknown = [view for view, rows in found.known.items() if not rows]
    if unknown and len(unknown) == len(found.known):
        said = (
            f"the online store has nothing of any of {counted(found.rows, 'row')}, so no stored feature was read. "
            "Materialize first (trueup materialize), or name the store that is served from."
        )
        return "could not run", said
    nothing_of = f" The store has nothing of them in {', '.join(unknown)}." if unknown else ""
    bits = f"{counted(found.answered, 'answer')} to {asked}: the same bits as the kept model's, all logged."
    return "pass", bits + nothing_of


def latency(facts: Facts) -> Said:
    """The 99th percentile of requests of one row, one after the other, is within the budget."""
    found = facts.trial
    if not isinstance(found, TrialFacts):
        return _not_tried(found)
    if not found.milliseconds:
        return "not applicable", "no request of one row was answered: see load and query."
    p50, p99 = np.percentile(found.milliseconds, (50, 99))
    budget = facts.budget.latency_p99_ms
    said = (
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {counted(len(found.milliseconds), 'request')} of one row, one after "
        f"the other; the budget is p99 {budget:g} ms."
    )
    return ("pass" if p99 <= budget else "fail"), said


def error_budget(facts: Facts) -> Said:
    """The share of requests that a started server did not answer is within the budget."""
    found = facts.trial
    if not isinstance(found, TrialFacts):
        return _not_tried(found)
    if not found.requests:
        return "not applicable", "no request could be sent: see load and query."
    failed, budget = len(found.failed), facts.budget.error_rate
    share = failed / found.requests
    said = f"{failed:,} of {counted(found.requests, 'request')} failed ({share:.2%}); the budget is {budget:.2%}"
    why = "".join(f"; {times:,} of them with {text}" for text, times in Counter(found.failed).most_common(1))
    return ("pass" if share <= budget else "fail"), f"{said}{why.rstrip('.')}."


def shadow_parity(facts: Facts) -> Said:
    """Features of the live rows it scored are those that training reads, under the repository's parity rules."""
    return parity_said(facts.shadow)


def parity_said(found: tuple[AnyResult, ...] | Unknown | NotAsked) -> Said:
    """What the served check found of live rows, as an item says it."""
    if isinstance(found, NotAsked):
        return "not applicable", found.why
    if isinstance(found, Unknown):
        return "could not run", found.why
    cells = [result for result in found if isinstance(result, Result)]
    rows = counted(sum(result.rows for result in cells), "served row")
    verdict = joint_verdict(cells)
    if verdict == "could not run":
        because = [f"{each.subject}: {each.problem}" for each in cells if each.problem is not None]
        return verdict, f"{rows}: {few(because) or 'nothing could be compared'}."
    compared, mismatched, unexplained = (
        sum(getattr(result, name) for result in cells) for name in ("compared", "mismatched", "unexplained")
    )
    causes = sum((Counter(result.by_cause) for result in cells), Counter[str]())
    by = ", ".join(f"{name} {count:,}" for name, count in causes.most_common(3))
    said = (
        f"{mismatched:,} of {counted(compared, 'value')} in {rows} differ from what training reads, {unexplained:,} of "
        f"them unexplained{f' ({by})' if by else ''}."
    )
    return verdict, said


def _not_tried(found: NotAsked | Unknown) -> Said:
    return (
        "not applicable" if isinstance(found, NotAsked) else "could not run"
    ), "no server was asked: see load and query."
