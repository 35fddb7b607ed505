"""The ledger in plain sentences. Pure: numbers in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from trueup.diagnose.drawn import DrawnTerm, by_size, is_nothing
from trueup.diagnose.facts import Facts
from trueup.diagnose.gap_ledger import CauseTotal, Estimate, GapLedger, Step, Term
from trueup.diagnose.metrics import MetricKind
from trueup.diagnose.online import Online
from trueup.diagnose.six import MEANING, SixCause
from trueup.parity.causes import UNEXPLAINED
from trueup.wording import counted

_ZERO = 5e-5
"""Effects that four digits show as zero."""
_PHRASES = {
    "late_arrival": "values that were not known yet when the row was served (late_arrival)",
    "lag": "values that were known and not materialized yet (lag)",
    "missed_materialization": "materializations that did not come (missed_materialization)",
    "serving_fallback": "answers given without features (serving_fallback)",
    "missing_online": "entities that the online store did not have (missing_online)",
    UNEXPLAINED: "values that no change of rule reproduces (unexplained)",
}


def told(step: Step, kind: MetricKind, facts: Facts, online: Online) -> Step:
    """The step with its sentences."""
    return replace(step, sentences=tuple(_sentences(step, kind, facts, online)))


def summary(ledger: GapLedger, kind: MetricKind) -> str:
    """One or two sentences for whoever reads no further."""
    first, last = ledger.states[0], ledger.states[-1]
    if ledger.gap is None or first.estimate is None or last.estimate is None:
        why = next((state.missing for state in reversed(ledger.states) if state.missing), "an end was not measured")
        return f"There is no gap to explain yet: {why}."
    ends = (
        f"{kind.title} {first.estimate.value:.4f} offline, {last.estimate.value:.4f} online: "
        f"{signed(ledger.gap.value)}{interval(ledger.gap)}."
    )
    harmful = [total for total in ledger.claimed if total.harmful]
    population = next((step for step in ledger.steps if step.names == ("population shift",)), None)
    moved = population.effect if population is not None else None
    if not ledger.claimed:
        rest = "" if ledger.complete else " What could not be measured may hold some."
        if moved is not None:
            whose = f"the served population moved it by {signed(moved.value)}{interval(moved)}"
            return f"{ends} None of the six causes is behind it; {whose}.{rest}"
        return f"{ends} None of the six causes was found behind it.{rest}"
    named = " and ".join(_share(total) for total in (harmful or ledger.claimed))
    other = ""
    if moved is not None and abs(moved.value) >= _ZERO:
        other = f" The served population moved it by {signed(moved.value)}{interval(moved)}."
    return f"{ends} {named[:1].upper()}{named[1:]}.{other}"


def cause_sentence(
    cause: SixCause,
    terms: Sequence[DrawnTerm],
    *,
    claimed: bool,
    missing: str | None,
) -> str:
    """What was found of one of the six."""
    parts = [term for term in by_size(terms) if not is_nothing(term.draws)]
    beside = f" Not all of it was looked at: {missing}." if missing else ""
    if not parts:
        return f"Nothing found.{beside}"
    listed = ", ".join(f"{_term(term)} {signed(float(term.draws[0]))}" for term in parts[:4])
    more = f" and {counted(len(parts) - 4, 'smaller one')}" if len(parts) > 4 else ""
    chance = "" if claimed else " That is within chance."
    return f"{MEANING[cause][:1].upper()}{MEANING[cause][1:]}: {listed}{more}.{chance}{beside}"


def notes(facts: Facts) -> Iterator[str]:
    """What else is to be known of the evidence."""
    culprits = facts.holdout.culprits
    if culprits is None:
        again = f"`trueup reproduce {facts.model}/{facts.version}` trains it again"
        yield f"No reproduction of the run is on record: {again}."
    elif culprits:
        yield f"Its newest reproduction named {', '.join(culprits)}."
    if facts.known_at == "unbounded":
        yield (
            "The model was trained under known_at = unbounded: it could read what nobody knew yet. Its offline "
            "features are recomputed under the same rule."
        )


def signed(value: float) -> str:
    """Four digits with a sign; what they show as zero has none."""
    return "0.0000" if abs(value) < _ZERO else f"{value:+.4f}"


def interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" [{signed(estimate.low)}, {signed(estimate.high)}]"


def _sentences(step: Step, kind: MetricKind, facts: Facts, online: Online) -> Iterator[str]:
    if step.effect is None:
        yield f"Not measured. {_capital(step.missing or 'an end is missing')}."
        return
    if len(step.names) > 1:
        yield (
            f"{_capital(step.title)} together: {signed(step.effect.value)}{interval(step.effect)}. They cannot be told "
            f"apart: {step.missing}."
        )
        return
    match step.names[0]:
        case "reproduction":
            yield from _reproduction(step, kind, facts)
        case "population shift":
            yield from _population(step, kind)
        case "feature skew":
            yield from _skew(step)
        case "serving":
            yield from _serving(step, facts)
        case "label delay":
            served, mature = online.rows
            if served == mature:
                yield f"The label delay is over for all {counted(served, 'row')} with a known outcome."
            else:
                yield (
                    f"Of {counted(served, 'row')} with a known outcome the label delay is over for {mature:,}; without "
                    f"the others the {kind.title} is {_moved(step.effect, kind)}."
                )


def _reproduction(step: Step, kind: MetricKind, facts: Facts) -> Iterator[str]:
    split = step.split("factor")
    moved = [term for term in split.terms if abs(term.effect.value) > 0] if split else []
    if not moved:
        yield f"The promise holds: the holdout, read and scored again today, has the same {kind.title}."
    for term in moved:
        yield f"{_capital(term.name)}: the {kind.title} of the holdout is {_moved(term.effect, kind)}."
    for lines in facts.holdout.evidence.values():
        yield from lines


def _population(step: Step, kind: MetricKind) -> Iterator[str]:
    assert step.effect is not None
    certain = "" if step.effect.clear else ", which is within chance"
    yield (
        "The served requests are others than the holdout's: with features read as in training the "
        f"{kind.title} on them is {_moved(step.effect, kind)}{certain}."
    )
    for split in step.splits:
        clear = [term for term in split.terms if term.effect.clear]
        if clear:
            named = ", ".join(f"{term.name} {signed(term.effect.value)}" for term in clear[:3])
            yield f"By {split.what}: {named}."


def _skew(step: Step) -> Iterator[str]:
    assert step.effect is not None
    causes, features = step.split("cause"), step.split("feature")
    if causes is None or features is None:
        yield "Every value that the model eats was served as training would read it."
        return
    for term in causes.terms:
        yield f"{_capital(_phrase(term.name))} explain {signed(term.effect.value)} of the {signed(step.effect.value)}."
    top = features.terms[0]
    if top.cells is not None and top.of:
        yield (f"{top.cells / top.of:.0%} of `{top.name}` values differ, which is {signed(top.effect.value)} of it.")


def _serving(step: Step, facts: Facts) -> Iterator[str]:
    split = step.split("reason")
    if split is None:
        yield f"Every prediction was served as {facts.model} version {facts.version} gives it here, to the last bit."
        return
    for term in split.terms:
        of = f"{term.cells:,} of {term.of:,} predictions" if term.cells is not None and term.of is not None else ""
        yield f"{_capital(term.name)} gave {of}: {signed(term.effect.value)}."


def _moved(effect: Estimate, kind: MetricKind) -> str:
    """`0.0041 lower (worse) [..]`."""
    if abs(effect.value) < _ZERO:
        return f"the same to four digits{interval(effect)}"
    higher = effect.value > 0
    better = "better" if higher == kind.higher_is_better else "worse"
    return f"{abs(effect.value):.4f} {'higher' if higher else 'lower'} ({better}){interval(effect)}"


def _share(total: CauseTotal) -> str:
    assert total.effect is not None
    return f"{total.cause} explains {signed(total.effect.value)}{interval(total.effect)} of it"


def _term(term: DrawnTerm | Term) -> str:
    where = f" ({term.cells:,} of {term.of:,})" if term.cells is not None and term.of is not None else ""
    return f"{term.name}{where}"


def _phrase(cause: str) -> str:
    return _PHRASES.get(cause, f"values with cause {cause}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
