"""Why a read-out is withheld: what makes a difference of variants something else than the models' doing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from scipy.stats import norm

from trueup.experiments.analysis.sample_ratio import ALARM, SampleRatio, Segment
from trueup.experiments.changes import SplitChange
from trueup.readout.facts import ParityRate
from trueup.readout.report import VariantReadout

PARITY_GAP = 0.005
"""Difference of two variants' shares of mismatching values that counts; a smaller one moves no metric."""
PARITY_ALPHA = 0.001


def reasons(
    variants: Sequence[VariantReadout],
    ratio: SampleRatio | None,
    segments: Sequence[Segment],
    changes: Sequence[SplitChange],
    both: int,
    *,
    parity_was_asked: bool,
) -> Iterator[str]:
    """Sentences; none: the read-out stands. both: units that were assigned to two variants."""
    if ratio is not None and ratio.off:
        total = sum(ratio.observed.values())
        seen = ", ".join(
            f"{name} {count:,} ({count / total:.1%} of units, {ratio.expected[name]:.1%} by design)"
            for name, count in ratio.observed.items()
        )
        where = [segment for segment in segments if segment.off]
        told = f"; it comes from {', '.join(f'{s.column} = {s.level}' for s in where[:3])}" if where else ""
        yield f"the sample ratio is off: {seen}; p = {ratio.p_value:.1e}, alarm below {ALARM:g}{told}"
    for change in changes:
        if change.fault and change.since is None:
            yield f"the experiment's file is not what was served: {change}"
        elif change.fault:
            yield f"the split was changed while the experiment ran: {change}"
    for variant in variants:
        if len(variant.contracts) > 1:
            names = " then ".join(contract[:12] for contract in variant.contracts)
            yield f"the contract of {variant.name} changed mid-way: {names}"
    answering = [variant for variant in variants if variant.share > 0]
    if ratio is None and len(answering) > 1:
        yield "the sample ratio could not be looked at: no unit was assigned"
    if parity_was_asked:
        yield from _parity([(variant.name, variant.parity) for variant in answering])
    if both and not any(change.fault and change.since is not None for change in changes):
        yield f"{both:,} units were assigned to more than one variant, under one and the same split"


def warnings(
    variants: Sequence[VariantReadout], changes: Sequence[SplitChange], *, parity_was_asked: bool
) -> Iterator[str]:
    """What does not withhold it."""
    for variant in variants:
        if len(variant.versions) > 1:
            yield f"{variant.name} was answered by more than one version: {', then '.join(variant.versions)}"
        if variant.parity is not None and variant.parity.mismatched:
            rate = variant.parity
            yield f"{rate.mismatched:,} of {rate.compared:,} values served to {variant.name} differ from training's"
        if variant.parity is not None and variant.parity.why and variant.parity.compared:
            yield f"not all of {variant.name} could be compared: {variant.parity.why}"
    for change in changes:
        if not change.fault:
            yield f"changed, and moved no unit to another variant: {change}"
    if not parity_was_asked:
        yield "parity of the variants was not looked at (--no-parity)"


def _parity(rates: Sequence[tuple[str, ParityRate | None]]) -> Iterator[str]:
    known: list[tuple[str, ParityRate]] = []
    for name, rate in rates:
        if rate is None or not rate.compared:
            why = rate.why if rate is not None else "it was not asked for"
            yield f"parity of {name} could not be looked at: {(why or 'nothing was compared').rstrip('.')}"
        else:
            known.append((name, rate))
    for (one, a), (other, b) in pairwise(known):
        if abs(a.share - b.share) > PARITY_GAP and _p_value(a, b) < PARITY_ALPHA:
            yield (
                f"the variants differ in parity: {a.share:.1%} of the values served to {one} are not what training "
                f"reads, {b.share:.1%} of those served to {other}"
            )


def _p_value(a: ParityRate, b: ParityRate) -> float:
    """Two proportions, normal approximation (they are of thousands of values)."""
    pooled = (a.mismatched + b.mismatched) / (a.compared + b.compared)
    error = math.sqrt(pooled * (1 - pooled) * (1 / a.compared + 1 / b.compared))
    return float(2 * norm.sf(abs(a.share - b.share) / error)) if error else 1.0
