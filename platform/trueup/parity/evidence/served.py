"""The served log, model by model, as cases to examine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError, TrueupError
from trueup.eventlog.reader import ServedLog, find_logs, read_log
from trueup.eventlog.records import LOG_TIMESTAMP, MODEL, MODEL_VERSION, REQUEST_ID, ROLE, ROW
from trueup.frame import EVENT_TIME
from trueup.instants import EPOCH, AsOfRule
from trueup.parity.causes import Reading
from trueup.parity.checks.served import ServedModel
from trueup.parity.compare import Tolerance
from trueup.parity.evidence.definitions import common_columns, ledger_definitions, log_definition
from trueup.parity.evidence.models import CardOf, Progress, TrainedModel, Unreadable, nothing
from trueup.parity.evidence.recompute import INSTANT, Source, distinct, under_way
from trueup.parity.explain import Case, Rows, only
from trueup.parity.tally import Labels
from trueup.stores.ledger import Ledger


def served_models(
    log_dir: Path,
    card_of: CardOf,
    *,
    repo: Path,
    ledger: Ledger | None,
    start: datetime | None = None,
    end: datetime | None = None,
    models: Sequence[str] | None = None,
    rule: AsOfRule | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
    applied: Mapping[str, datetime] | None = None,
    progress: Progress = nothing,
) -> Iterator[ServedModel | Unreadable]:
    """Each model version in the served logs under `log_dir`, by log directory and name.

    rule: recompute under this one, not under each model's own. The pinned instant of a model's rule is left
    out: it froze the model's training set, and says nothing of rows that were served later. applied: view or on-demand
    view -> since when the registry has had its present definition.
    """
    directories = find_logs(log_dir) if log_dir.is_dir() else ()
    if not directories:
        raise InputError(
            "log",
            f"log: there is no served log under {log_dir}.",
            hint="Name the directory the server writes to (its setting log_dir), or serve some requests first.",
        )
    for directory in directories:
        progress(f"read {directory.parent.name}/{directory.name}")
        log = read_log(directory, start=start, end=end, models=models)
        # One source for all models of a log: they were scored on the same rows, which are then read once.
        source = Source(_questions(log), repo=repo, ledger=ledger, progress=progress)
        for model, version, rows in _by_model(log.table):
            progress(f"check {model}@{version}")
            try:
                card = card_of(model, version)
                yield _served_model(log, source, card, model, version, rows, ledger, rule, tolerances, applied)
            except TrueupError as error:
                yield Unreadable(model, version, len(rows), str(error))


def _served_model(
    log: ServedLog,
    source: Source,
    card: TrainedModel,
    model: str,
    version: str,
    rows: Rows,
    ledger: Ledger | None,
    rule: AsOfRule | None,
    tolerances: Mapping[str, Tolerance] | None,
    applied: Mapping[str, datetime] | None,
) -> ServedModel:
    contract = card.contract
    at = _instants(log.table)
    uncompared: dict[str, int] = {}
    kept = rows
    served = log.frame
    if contract.hash != log.contract.hash:
        contract = only(contract, common_columns(contract, log.contract))
        served = served.select(contract.columns)
        if not contract.columns:
            uncompared["served under another contract than the model's"] = len(rows)
            kept = rows[:0]
    if len(timeless := np.flatnonzero(np.asarray(log.table.column(LOG_TIMESTAMP).is_null())[kept])):
        uncompared["no instant"] = len(timeless)
        kept = np.delete(kept, timeless)
    # A feature may be in several services; the tolerance of one that is not in this one is not for it.
    own = {name: tolerance for name, tolerance in (tolerances or {}).items() if name in contract.columns}
    whole = Case(
        contract=contract,
        reading=Reading(AsOfRule((rule or card.rule).known_at)),
        inputs=log.inputs,
        served=served,
        under_way=under_way(contract, at, ledger),
        recompute=source,
        tolerances=own,
        requests=_request_numbers(log.table),
        definitions=(*log_definition(contract, log.contract, at, applied), *ledger_definitions(contract, ledger)),
    )
    labels = Labels(at, *(log.table.column(name).combine_chunks() for name in (REQUEST_ID, ROW, ROLE)))
    return ServedModel(model, version, whole.subset(kept), labels.subset(kept), uncompared)


def _request_numbers(table: pa.Table) -> Rows:
    """The number of each row's request."""
    _, number = distinct(table.select([REQUEST_ID]))
    return number


def _questions(log: ServedLog) -> pa.Table:
    instants = pc.fill_null(log.table.column(LOG_TIMESTAMP), pa.scalar(EPOCH, EVENT_TIME))
    return log.inputs.append_column(INSTANT, instants)


def _by_model(table: pa.Table) -> Iterator[tuple[str, str, Rows]]:
    """Name, version and row numbers of each model version in the log, sorted."""
    pairs, number = distinct(table.select([MODEL, MODEL_VERSION]))
    names = [(str(pair[MODEL]), str(pair[MODEL_VERSION])) for pair in pairs.to_pylist()]
    for pair, index in sorted((pair, index) for index, pair in enumerate(names)):
        yield *pair, np.flatnonzero(number == index)


def _instants(table: pa.Table) -> Rows:
    column = table.column(LOG_TIMESTAMP).combine_chunks().cast(EVENT_TIME)
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)).astype(np.int64)
