"""Reads what a read-out is made from: the log, the outcomes, the models' parity. The only I/O of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError, TrueupError
from trueup.eventlog.labelled import Labelled
from trueup.eventlog.outcomes import join, read_outcomes, resolved
from trueup.eventlog.reader import find_logs, read_log_batches
from trueup.eventlog.records import (
    CONTRACT_HASH,
    EXPERIMENT,
    EXPERIMENT_VERSION,
    EXPOSURE,
    FALLBACK,
    LOG_TIMESTAMP,
    MODEL,
    MODEL_VERSION,
    PREDICTION,
    REQUEST_ID,
    ROLE,
    ROW,
    UNIT,
    VARIANT,
    input_fields,
)
from trueup.experiments.design import Experiment
from trueup.experiments.logged import logged_experiment
from trueup.experiments.metric import Metric
from trueup.parity.report import Report
from trueup.readout.facts import ParityRate, ReadoutFacts

ROWS = "rows"
"""Denominator that counts rows."""
_COLUMNS = (
    REQUEST_ID,
    ROW,
    LOG_TIMESTAMP,
    UNIT,
    VARIANT,
    EXPOSURE,
    EXPERIMENT_VERSION,
    MODEL,
    MODEL_VERSION,
    CONTRACT_HASH,
    ROLE,
    PREDICTION,
    FALLBACK,
)
_BATCH_ROWS = 500_000
Progress = Callable[[str], None]
ParityRun = Callable[[Sequence[str]], Report]
"""The served check of some models in the window."""


def gather(
    experiment: Experiment,
    *,
    log: Path,
    outcomes: Path,
    now: datetime,
    since: datetime | None,
    until: datetime | None,
    segments: Sequence[str],
    parity: ParityRun | None,
    progress: Progress,
) -> ReadoutFacts:
    """Raises InputError when the log has no row of the experiment, or no column that is asked for."""
    progress("read the log")
    extra = [m.covariate for m in (*experiment.metrics, *experiment.guardrails) if m.covariate is not None]
    tables = list(_rows(experiment, log, since, until, now, [*extra, *segments]))
    if not tables:
        raise InputError(
            "log",
            f"log: {log} has no row of experiment {experiment.name!r} in that time.",
            hint="Name the server's log with --log, or another window.",
        )
    rows, copies = _distinct(pa.concat_tables(tables, promote_options="permissive"))
    for name in (*extra, *segments):
        if name not in rows.column_names:
            raise InputError(
                "segment" if name in segments else "covariate",
                f"the served rows have no column {name!r}; a request field or a feature, such as view__feature.",
            )
    progress("join the outcomes")
    joined: dict[str, Labelled | str] = {}
    denominators: dict[str, Labelled | str] = {}
    for metric in (*experiment.metrics, *experiment.guardrails):
        joined[metric.name] = _joined(rows, metric.outcome, metric, outcomes, log, now)
        if metric.denominator is not None and metric.denominator != ROWS:
            denominators[metric.name] = _joined(rows, metric.denominator, metric, outcomes, log, now)
    progress("changes of the split")
    found = logged_experiment(log, experiment.name, start=since, end=until)
    rates = None
    if parity is not None:
        progress("parity of the variants' models")
        rates = _parity(experiment, parity)
    return ReadoutFacts(
        experiment=experiment,
        rows=rows,
        outcomes=joined,
        denominators=denominators,
        parity=rates,
        changes=found.changes(experiment),
        now=now,
        since=since,
        until=until,
        segments=tuple(segments),
        lost={"exact copies of rows": copies} if copies else {},
    )


def _rows(
    experiment: Experiment,
    log: Path,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
    extra: Sequence[str],
) -> Iterator[pa.Table]:
    for directory in find_logs(log) if log.is_dir() else ():
        for batch in read_log_batches(directory, most_rows=_BATCH_ROWS, start=since, end=until):
            table = batch.table
            at = table.column(LOG_TIMESTAMP)
            here = pc.and_(
                pc.equal(table.column(EXPERIMENT), experiment.name), pc.less_equal(at, pa.scalar(now, at.type))
            )
            inputs = [item.name for item in input_fields(batch.contract)]
            wanted = dict.fromkeys([*_COLUMNS, *inputs, *extra])
            yield table.filter(here).select([name for name in wanted if name in table.column_names])


def _distinct(rows: pa.Table) -> tuple[pa.Table, int]:
    """Without exact copies (a file written twice), by what names a row; and how many there were."""
    key = [REQUEST_ID, ROW, LOG_TIMESTAMP, UNIT, VARIANT, MODEL, MODEL_VERSION, ROLE, PREDICTION]
    numbered = rows.append_column("__place", pa.array(range(rows.num_rows), pa.int64()))
    kept = numbered.group_by(key).aggregate([("__place", "min")]).column("__place_min")
    places = pc.sort_indices(kept)
    return rows.take(kept.take(places)), rows.num_rows - len(kept)


def _joined(rows: pa.Table, outcome: str, metric: Metric, folder: Path, log: Path, now: datetime) -> Labelled | str:
    try:
        # By the whole log: of the experiment's rows alone, another would seem the last before an outcome's instant.
        found = resolved(log, read_outcomes(folder, outcome), now=now)
        return join(rows, found, now=now, delay=metric.delay, absent=metric.absent)
    except TrueupError as error:
        return str(error)


def _parity(experiment: Experiment, run: ParityRun) -> Mapping[str, ParityRate]:
    models = sorted({variant.model for variant in experiment.variants if variant.weight})
    try:
        results = run(models).of("served")
    except TrueupError as error:
        return {variant.name: ParityRate(0, 0, 0, str(error)) for variant in experiment.variants if variant.weight}
    rates = {}
    for variant in experiment.variants:
        if variant.weight:
            mine = [each for each in results if each.subject == variant.model]
            compared = sum(each.compared for each in mine)
            why = next((each.problem for each in mine if each.problem), None)
            if not compared:
                why = why or "no value of it could be compared"
            rates[variant.name] = ParityRate(
                compared, sum(each.mismatched for each in mine), sum(each.unexplained for each in mine), why
            )
    return rates
