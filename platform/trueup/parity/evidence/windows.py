"""Windows of the served logs, read a batch at a time: what is in them, model by model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError
from trueup.eventlog.reader import ServedLog, find_logs, read_contract, read_log_batches
from trueup.eventlog.records import LOG_TIMESTAMP, MODEL, MODEL_VERSION

BATCH_ROWS = 50_000
NO_INSTANT = "no instant"
"""Reason of log rows that do not say when they were served."""


@dataclass(frozen=True)
class ModelRows:
    """How many rows of a log are a model version's. without_instant: of them."""

    model: str
    version: str
    rows: int
    without_instant: int

    @property
    def uncompared(self) -> dict[str, int]:
        return {NO_INSTANT: self.without_instant} if self.without_instant else {}


@dataclass(frozen=True)
class Window:
    """Rows of one contract's log. start, end: start <= instant < end. names: registered models; None: all."""

    directory: Path
    start: datetime | None = None
    end: datetime | None = None
    names: Sequence[str] | None = None
    batch_rows: int = BATCH_ROWS

    @cached_property
    def contract(self) -> FeatureContract:
        return read_contract(self.directory)

    def batches(self) -> Iterator[ServedLog]:
        return read_log_batches(
            self.directory, most_rows=self.batch_rows, start=self.start, end=self.end, models=self.names
        )

    def models(self) -> tuple[ModelRows, ...]:
        """The model versions in it, sorted."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for batch in self.batches():
            per_model = (
                batch.table.select([MODEL, MODEL_VERSION])
                .append_column("timeless", batch.table.column(LOG_TIMESTAMP).is_null().cast(pa.int64()))
                .group_by([MODEL, MODEL_VERSION])
                .aggregate([([], "count_all"), ("timeless", "sum")])
            )
            for item in per_model.to_pylist():
                name = (str(item[MODEL]), str(item[MODEL_VERSION]))
                rows, timeless = found.get(name, (0, 0))
                found[name] = rows + item["count_all"], timeless + item["timeless_sum"]
        return tuple(ModelRows(*name, *counts) for name, counts in sorted(found.items()))

    def rows_of(self, model: str, version: str) -> Iterator[ServedLog]:
        """The rows of one model version that have an instant, batch by batch."""
        for batch in self.batches():
            table = batch.table
            mine = (
                np.asarray(pc.equal(table.column(MODEL), model).fill_null(False))
                & np.asarray(pc.equal(table.column(MODEL_VERSION), version).fill_null(False))
                & np.asarray(table.column(LOG_TIMESTAMP).is_valid())
            )
            if mine.any():
                yield ServedLog(batch.contract, table.filter(pa.array(mine)))


def windows(
    log_dir: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    names: Sequence[str] | None = None,
    batch_rows: int = BATCH_ROWS,
) -> tuple[Window, ...]:
    """One for each contract's log under a directory. Raises InputError when there is none."""
    directories = find_logs(log_dir) if log_dir.is_dir() else ()
    if not directories:
        raise InputError(
            "log",
            f"log: there is no served log under {log_dir}.",
            hint="Name the directory the server writes to (its setting log_dir), or serve some requests first.",
        )
    return tuple(Window(directory, start, end, names, batch_rows) for directory in directories)


def other_contract(found: ModelRows, trained: FeatureContract, served: FeatureContract) -> str:
    """Why a model cannot be checked on rows that were served under another contract than its own; what differs."""
    differences = "; ".join(str(item) for item in trained.diff(served)[:3])
    return (
        f"model {found.model}@{found.version} was trained on {trained.service}@{trained.hash[:12]}; these rows were "
        f"served under {served.service}@{served.hash[:12]}: {differences}. See: trueup contract diff"
    )
