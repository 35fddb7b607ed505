"""What a rollout asks for before it goes on, in the order it is shown: pure functions of `LiveFacts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trueup.gate.evidence import Evidence
from trueup.gate.facts import NotAsked, Unknown
from trueup.gate.said import Said, few
from trueup.gate.serving_items import parity_said
from trueup.rollout.facts import Answers, LiveFacts
from trueup.wording import counted


def alias(facts: LiveFacts) -> Said:
    """The alias is where the promotion put it."""
    if facts.now_at == facts.candidate.version:
        return "pass", f"{facts.candidate} has {facts.alias}."
    other = "no version" if facts.now_at is None else f"{facts.candidate.name}@{facts.now_at}"
    return "fail", f"{other} has {facts.alias}, not {facts.candidate}: another hand moved it meanwhile."


def followed(facts: LiveFacts) -> Said:
    """Every server serves the version under the alias, and is ready, not degraded."""
    if not facts.servers:
        return "could not run", "no server is named."
    problems = [f"{server.url}: {server.problem}" for server in facts.servers if server.problem is not None]
    if problems:
        return "fail", f"{few(problems)}."
    if without := [server.url for server in facts.servers if not server.followed]:
        return "could not run", f"{few(without)}: no variant there is {facts.candidate.name}@{facts.alias}."
    longest = max(server.seconds for server in facts.servers)
    which = sorted({name for server in facts.servers for name in server.followed})
    return "pass", (
        f"{counted(len(facts.servers), 'server')} ready with {facts.candidate} as {', '.join(which)}, "
        f"{longest:.1f} s after they were first asked."
    )


def answered(facts: LiveFacts) -> Said:
    """Requests were answered, by this version too where it gets any."""
    found = facts.answers
    if not isinstance(found, Answers):
        return _not_asked(found)
    by = ", ".join(f"{name} {rows:,}" for name, rows in sorted(found.by_model.items()))
    if not found.by_model:
        return ("fail" if found.failed else "could not run"), f"no request was answered: {few(found.failed) or 'none'}."
    own = found.by_model.get(str(facts.candidate), 0)
    if not own and any(server.answers for server in facts.servers):
        said = f"none of {counted(found.sent, 'request')} came to {facts.candidate}, though its variant has a weight"
        return "could not run", f"{said} ({by})."
    return "pass", f"{counted(found.sent, 'request')} of one row: {by}{'' if own else ', and it as a shadow'}."


def error_budget(facts: LiveFacts) -> Said:
    """The share of the requests without an answer of their own features is within bounds."""
    found = facts.answers
    if not isinstance(found, Answers) or not found.sent:
        return _no_requests(found)
    share, allowed = len(found.failed) / found.sent, facts.bounds.error_rate
    why = f"; {few(sorted(set(found.failed)))}" if found.failed else ""
    said = f"{len(found.failed):,} of {counted(found.sent, 'request')} failed ({share:.2%}), {allowed:.2%} may{why}."
    return ("pass" if share <= allowed else "fail"), said


def latency(facts: LiveFacts) -> Said:
    """The 99th percentile of an answer is within bounds."""
    found = facts.answers
    if not isinstance(found, Answers) or not found.milliseconds:
        return _no_requests(found)
    p50, p99 = np.percentile(found.milliseconds, (50, 99))
    allowed = facts.bounds.latency_p99_ms
    measured = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {counted(len(found.milliseconds), 'answer')}"
    return ("pass" if p99 <= allowed else "fail"), f"{measured}; p99 may be {allowed:g} ms."


def live_parity(facts: LiveFacts) -> Said:
    """The rows it scored live have the features that training reads. No such row is no pass."""
    if isinstance(facts.parity, NotAsked):
        return "could not run", facts.parity.why
    return parity_said(facts.parity)


def alerts(facts: LiveFacts) -> Said:
    """Nobody is paged."""
    found = facts.alerts
    if isinstance(found, NotAsked):
        return "not applicable", found.why
    if isinstance(found, Unknown):
        return "could not run", found.why
    return ("fail", f"{counted(len(found), 'alert')} now: {few(found)}.") if found else ("pass", "none.")


_ITEMS: Mapping[str, Callable[[LiveFacts], Said]] = {
    "alias": alias,
    "followed": followed,
    "answers": answered,
    "error budget": error_budget,
    "latency": latency,
    "live parity": live_parity,
    "alerts": alerts,
}
ITEMS: tuple[str, ...] = tuple(_ITEMS)


def judge(facts: LiveFacts) -> tuple[Evidence, ...]:
    """Every item."""
    return tuple(Evidence(name, *ask(facts)) for name, ask in _ITEMS.items())


def _not_asked(found: NotAsked | Unknown) -> Said:
    return ("not applicable" if isinstance(found, NotAsked) else "could not run"), found.why


def _no_requests(found: Answers | NotAsked | Unknown) -> Said:
    return ("could not run" if isinstance(found, Unknown) else "not applicable"), "no answer to judge: see answers."
