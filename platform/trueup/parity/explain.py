"""Compare served rows with recomputed ones, and find the causes of every mismatch. Pure, but for `recompute`.

The rows are recomputed under the model's own reading once; under changed readings only those rows that still
have a mismatch without a cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from trueup.frame import FeatureFrame
from trueup.parity.case import Case, CauseBits, Definition, Recompute, Rows, any_of, only, same, take
from trueup.parity.compare import (
    EXACT,
    Codes,
    Comparison,
    Counts,
    Mask,
    Outcome,
    cells,
    common_type,
    compare,
    count,
)
from trueup.parity.proofs.absent import by_absence, by_backfill, by_default
from trueup.parity.proofs.definitions import by_definitions
from trueup.parity.proofs.located import by_located, by_loss, locate
from trueup.parity.proofs.on_demand import by_batch, by_inputs, from_served_inputs, input_columns
from trueup.parity.proofs.readings import by_readings
from trueup.parity.proofs.search import Search
from trueup.parity.proofs.time_zones import by_shift
from trueup.parity.proofs.whole_rows import by_fallback, by_other_entity
from trueup.parity.reading import MOST_CHANGES

__all__ = ["Case", "CauseBits", "Definition", "Findings", "Recompute", "Rows", "examine", "explain", "only", "take"]


@dataclass(frozen=True)
class Findings:
    """What comparing and explaining a case gave.

    recomputed: under the case's own reading. comparison: final, cells that equal what a run under way was
    writing taken as equal. causes: feature -> the causes of each row's cell, for features with a mismatch.
    during_materialization: feature -> cells that are equal only so. on_ties: feature -> cells that rest on a source row
    which has both clocks equal with another of other values: which of them is right, the source does not say.
    """

    recomputed: FeatureFrame
    comparison: Comparison
    causes: Mapping[str, CauseBits]
    during_materialization: Mapping[str, int]
    on_ties: Mapping[str, int] = field(default_factory=dict)


def examine(case: Case) -> Findings:
    """Every cell compared, every mismatch explained or left without a cause."""
    recomputed = case.recompute(case.contract, case.reading, case.rows)
    comparison = compare(
        case.served, recomputed, views=case.views, tolerances=case.tolerances, dtypes=case.contract.dtypes
    )
    comparison, during = _forgive_under_way(case, recomputed, comparison)
    causes = explain(case, recomputed, comparison.mismatches())
    return Findings(recomputed, comparison, causes, during, _on_ties(case))


def explain(case: Case, recomputed: FeatureFrame, mismatches: Mapping[str, Mask]) -> dict[str, CauseBits]:
    """The causes of every mismatching cell; 0 where nothing reproduces it.

    First what shows in whole rows (one cell of another entity's row may well be what some reading gives), then changes
    of rule, fewest first, then what only the source's own rows tell, and the general ones last. On-demand features
    follow from their inputs.
    """
    search = Search(case, recomputed, mismatches)
    case.recompute.gather(np.flatnonzero(any_of(mismatches, case.served.num_rows)))
    by_fallback(search)
    located = locate(search)
    by_other_entity(search, located)
    by_readings(search, located, changes=[1])
    by_shift(search, located)
    by_definitions(search)
    by_backfill(search)
    by_default(search)
    by_readings(search, located, changes=range(2, MOST_CHANGES + 1))
    by_default(search, changes=1)
    by_located(search, located)
    by_loss(search, located)
    by_absence(search)
    by_other_entity(search, located, telling=True)
    by_other_entity(search, located, common=True)
    by_inputs(search)
    by_readings(search, located, changes=range(1, MOST_CHANGES + 1), on_demand=True)
    by_batch(search)
    by_default(search, on_demand=True)
    by_default(search, changes=1, on_demand=True)
    return search.causes


def _forgive_under_way(
    case: Case, recomputed: FeatureFrame, comparison: Comparison
) -> tuple[Comparison, dict[str, int]]:
    """Law 1 at the edge: a row read while a run was under way may hold the value from before or after it."""
    mismatches = {column: mask & case.under_way for column, mask in comparison.mismatches().items()}
    rows = any_of(mismatches, case.served.num_rows)
    if case.reading.rule.known_at != "served" or not rows.any():
        return comparison, {}
    numbers = np.flatnonzero(rows)
    after = case.recompute(only(case.contract, mismatches), replace(case.reading, under_way=True), numbers)
    forgiven: dict[str, Mask] = {}
    for column, mask in mismatches.items():
        chosen = np.flatnonzero(mask)
        candidate = cells(after, column, case.views.get(column)).take(np.searchsorted(numbers, chosen))
        hit = same(case.cells(column, chosen), candidate, case.tolerances.get(column, EXACT))
        forgiven[column] = np.zeros(len(mask), np.bool_)
        forgiven[column][chosen[hit]] = True
    # An on-demand feature of two views may have one's value from before and the other's from after.
    still = {column: mask & ~forgiven[column] for column, mask in mismatches.items()}
    for column, mask in from_served_inputs(case, still).items():
        inputs = input_columns(case.contract, column)
        settled = [~comparison_mask | forgiven[name] for name, comparison_mask in mismatches.items() if name in inputs]
        forgiven[column] |= mask & np.logical_and.reduce(settled) if settled else mask
    codes, counts = dict(comparison.codes), dict(comparison.counts)
    for column, mask in forgiven.items():
        codes[column] = np.where(mask, Outcome.EQUAL, codes[column]).astype(np.int8)
        counts[column] = _recount(case, recomputed, column, codes[column], counts[column])
    return Comparison(codes, counts), {column: int(mask.sum()) for column, mask in forgiven.items() if mask.any()}


def _recount(case: Case, recomputed: FeatureFrame, column: str, codes: Codes, before: Counts) -> Counts:
    pair = common_type(case.cells(column, case.rows), cells(recomputed, column, case.views.get(column)))
    return before if isinstance(pair, str) else count(codes, *pair)


def _on_ties(case: Case) -> dict[str, int]:
    found: dict[str, int] = {}
    for view in case.contract.views:
        tied = int(case.recompute.tied(view, case.reading, case.rows).sum())
        if tied:
            found |= {column: tied for column, owner in case.views.items() if owner == view.name}
    return found
