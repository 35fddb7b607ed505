"""Ledgers to show, as values: the flights' leaky model, one with nothing to explain, one in pieces, one of a gain, and
one whose names are meant to break a page. What they say of a world is made up; their sums are exact.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tests.browser.extremes import HOSTILE

from trueup.diagnose.build import STATES, STEP_TO
from trueup.diagnose.gap_ledger import (
    CauseTotal,
    Estimate,
    GapLedger,
    Split,
    State,
    StateName,
    Step,
    StepName,
    Term,
)
from trueup.diagnose.six import ADVICE, SIX, SixCause

AT = datetime(2013, 12, 20, tzinfo=UTC)
CELLS = 241_500
FEATURES = (
    ("origin_departures__late_share_1h", -0.00909, 0.0034, 9165),
    ("origin_departures__mean_delay_1h", -0.00568, 0.0025, 10422),
    ("carrier_origin__carrier_mean_delay_3h", -0.00411, 0.0028, 8651),
    ("origin_departures__departed_1h", -0.0032, 0.0021, 10424),
    ("carrier_origin__carrier_late_share_3h", -0.00265, 0.0017, 5937),
    ("weather__wind_speed", 0.00141, 0.0006, 8285),
    ("origin_departures__cancelled_share_1h", -0.00066, 0.001, 3533),
    ("runway_wind__headwind", -0.00034, 0.0006, 9676),
    ("weather__visibility", 0.00021, 0.0005, 2101),
    ("route_history__late_share", 0.0001, 0.0004, 811),
    ("plane_last__minutes_since", 0.0, 0.0003, 12),
)
"""Eleven: two more than a split shows by themselves."""


def around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def flights_leaky() -> GapLedger:
    """As the demo's: feature logic is claimed, by late arrival and lag."""
    features = tuple(Term(name, around(value, half), None, cells, 10_500) for name, value, half, cells in FEATURES)
    skew = sum(term.effect.value for term in features)
    late = around(-0.0169, 0.005)
    causes = (
        Term("late_arrival", late, "feature logic", 98_007, CELLS),
        Term("lag", around(skew - late.value, 0.0037), "feature logic", 70_589, CELLS),
    )
    origins = (("JFK", -0.01594, 0.0064, 3421), ("LGA", 0.01334, 0.009, 3370), ("EWR", -0.00668, 0.0093, 3709))
    segments = tuple(Term(name, around(value, half), None, rows, 10_500) for name, value, half, rows in origins)
    moved = sum(term.effect.value for term in segments)
    note = "11 features have too many orders to take each: 16 of them were drawn"
    return _made(
        "flights_leaky",
        0.78025,
        {"population shift": around(moved, 0.0141), "feature skew": around(skew, 0.0071)},
        splits={
            "population shift": (Split("segment", segments, "origin"),),
            "feature skew": (Split("cause", causes), Split("feature", features, None, note)),
        },
        claimed={"feature logic": around(skew, 0.0071)},
        sentences={"feature skew": ("87% of `origin_departures__late_share_1h` values differ.",)},
    )


def null() -> GapLedger:
    """An honest model: nothing to explain."""
    return _made("flights", 0.76691, {"population shift": around(-0.00579, 0.0139)})


def gain() -> GapLedger:
    """Of a metric that is better when lower; a cause made it better, another worse."""
    return _made(
        "flights_next",
        0.1532,
        {"reproduction": around(0.0031, 0.001), "feature skew": around(-0.0121, 0.004)},
        metric="brier",
        claimed={"feature logic": around(-0.0121, 0.004), "data": around(0.0031, 0.001)},
    )


def in_pieces() -> GapLedger:
    """The snapshot is lost and the log has no offline features: two steps of several names each, hatched."""
    whole = null()
    gone = "its snapshot is gone"
    states = tuple(
        replace(state, estimate=None, rows=None, missing=gone) if state.name in ("recomputed", "population") else state
        for state in whole.states
    )
    names: tuple[StepName, ...] = ("reproduction", "population shift", "feature skew")
    merged = Step(
        names,
        " and ".join(names),
        "logged",
        "features",
        around(-0.00579, 0.0139),
        sentences=(f"They cannot be told apart: {gone}.",),
        missing=gone,
    )
    steps = (merged, *whole.steps[3:])
    lost: tuple[SixCause, ...] = ("data", "feature logic")
    causes = tuple(
        replace(total, effect=None, sentence="", missing=gone) if total.cause in lost else total
        for total in whole.causes
    )
    return replace(whole, states=states, steps=steps, causes=causes)


def no_outcomes() -> GapLedger:
    """Offline only: there is no gap yet."""
    whole = null()
    why = "no outcomes yet"
    states = tuple(
        state if state.name in ("logged", "recomputed") else replace(state, estimate=None, rows=None, missing=why)
        for state in whole.states
    )
    names: tuple[StepName, ...] = ("population shift", "feature skew", "serving", "label delay")
    missing = Step(
        names, " and ".join(names), "recomputed", "matured", None, sentences=(f"Not measured: {why}.",), missing=why
    )
    causes = tuple(
        replace(total, effect=None, sentence="", missing=why) if total.cause in ("feature logic", "serving") else total
        for total in whole.causes
    )
    summary = f"There is no gap to explain yet: {why}."
    return replace(
        whole, states=states, steps=(whole.steps[0], missing), causes=causes, gap=None, counts={}, summary=summary
    )


def hostile() -> GapLedger:
    """Every text that can come from outside is meant to break what shows it."""
    whole = flights_leaky()
    names = [*HOSTILE, "[/x]", "[red]", "a|b\nc", "`tick", "@everyone [l](u) *b* #1"]

    def renamed(split: Split) -> Split:
        terms = tuple(replace(term, name=names[at % len(names)]) for at, term in enumerate(split.terms))
        return replace(split, terms=terms, what=names[0] if split.what else None, note=names[1])

    steps = tuple(
        replace(step, splits=tuple(renamed(split) for split in step.splits), sentences=tuple(names))
        for step in whole.steps
    )
    return replace(
        whole,
        model=names[0],
        version=names[3],
        outcome=names[5],
        summary=" ".join(names),
        steps=steps,
        causes=tuple(replace(total, sentence=names[0], missing=names[3]) for total in whole.causes),
        notes=tuple(names),
        facts=dict.fromkeys(names, names[0]),
        counts=dict.fromkeys(names, 3),
    )


def every() -> dict[str, GapLedger]:
    return {
        "leaky": flights_leaky(),
        "null": null(),
        "gain": gain(),
        "in pieces": in_pieces(),
        "no outcomes": no_outcomes(),
        "hostile": hostile(),
    }


def _made(
    model: str,
    logged: float,
    moves: dict[StepName, Estimate],
    *,
    metric: str = "auc",
    splits: dict[StepName, tuple[Split, ...]] | None = None,
    claimed: dict[SixCause, Estimate] | None = None,
    sentences: dict[StepName, tuple[str, ...]] | None = None,
) -> GapLedger:
    """A whole ledger; what does not move is exactly the same."""
    nothing, better = Estimate(0.0, 0.0, 0.0), metric != "brier"
    value, states, steps = logged, [], []
    before: StateName = "logged"
    for name, title in STATES.items():
        if name != "logged":
            step = STEP_TO[name]
            effect = moves.get(step, nothing)
            said = (sentences or {}).get(step, (f"{step.capitalize()} was looked at.",))
            steps.append(Step((step,), step, before, name, effect, (splits or {}).get(step, ()), said))
            value += effect.value
            before = name
        states.append(State(name, title, around(value, 0.0095), 28_681 if len(states) < 2 else 10_500))
    found = claimed or {}
    causes = [_total(cause, effect, better=better) for cause, effect in found.items()]
    causes += [
        CauseTotal(cause, nothing, False, False, "Nothing found.", ADVICE[cause]) for cause in SIX if cause not in found
    ]
    gap = sum(effect.value for effect in moves.values())
    return GapLedger(
        model,
        "1",
        metric,
        better,
        "late",
        AT,
        None,
        None,
        tuple(states),
        tuple(steps),
        around(gap, 0.0134),
        tuple(causes),
        f"{logged:.4f} offline, {value:.4f} online: {gap:+.4f}.",
        1000,
        0,
        {"rows mature": 10_500, "rows missing": 0},
        {"known_at": "served", "log": "build/demo/served"},
        (f"No reproduction of the run is on record: `trueup reproduce {model}/1` trains it again.",),
    )


def _total(cause: SixCause, effect: Estimate, *, better: bool) -> CauseTotal:
    harmful = (effect.value < 0) == better
    return CauseTotal(cause, effect, True, harmful, f"What {cause} did: {effect.value:+.4f}.", ADVICE[cause])
