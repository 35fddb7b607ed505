"""On-demand views tried, from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueup.errors import InputError, TrueupError
from trueup.instants import Clock, format_instant, utc_now
from trueup.parity.checks.transforms import CHECK, check_transforms
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.evidence.transforms import GENERATED_ROWS, Where, tried_views
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, could_not_run
from trueup.parity.runs.facts import packages

if TYPE_CHECKING:
    from feast import FeatureStore

PACKAGES = ("trueup", "feast", "pandas", "numpy", "pyarrow")


def run_transforms(
    store: FeatureStore,
    service: str | None,
    where: Where,
    *,
    generated: int = GENERATED_ROWS,
    seed: int = 0,
    clock: Clock = utc_now,
    progress: Progress = nothing,
) -> Report:
    """Each on-demand view of a feature service (None: of the whole repository) tried row by row, in batches, permuted.

    where: real rows to try them on. generated: rows made up by type. seed: of them and of the orders.

    Raises ContractError for a service there is not, InputError when there is no on-demand view. A view that cannot be
    tried is a result that says why.
    """
    started = clock()
    results: list[AnyResult] = []
    for found in tried_views(store, service, where, generated=generated, seed=seed, progress=progress):
        if isinstance(found, Unreadable):
            results.append(could_not_run(CHECK, found.model, found.problem))
            continue
        progress(f"try {found.view.name}")
        rows = sum(item.rows.num_rows for item in found.sets)
        try:
            results.append(check_transforms(found))
        except TrueupError as error:
            results.append(could_not_run(CHECK, found.view.name, str(error), rows=rows))
    if not results:
        what = f"feature service {service}" if service is not None else f"the repository {where.repo}"
        raise InputError("service", f"{what} has no on-demand feature view, so there is nothing to try.")
    facts = {
        "feature repository": str(where.repo),
        "rows as of": format_instant(where.now),
        "seed": str(seed),
        **({"feature service": service} if service is not None else {}),
    }
    return Report(started, clock(), tuple(results), packages(*PACKAGES), facts)
