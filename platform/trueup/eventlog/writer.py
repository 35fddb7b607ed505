"""Writes served rows to Parquet behind the server's back: bounded memory, and never a request that waits.

`offer` takes rows or drops and counts them; one thread turns what was taken into files. Every offered row
ends as exactly one of written, dropped (there was no room) or failed (its file could not be written).
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from trueup.contracts.contract import FeatureContract
from trueup.errors import ContractError, InputError, StoreError
from trueup.eventlog.layout import (
    CONTRACT_FILE,
    SUFFIX,
    date_directory,
    experiment_file,
    hidden,
    log_directory,
    serving_file,
)
from trueup.eventlog.records import ServedRows, to_table
from trueup.eventlog.serving_version import ServingVersion
from trueup.instants import Clock, utc_now

logger = logging.getLogger(__name__)

WriteFile = Callable[[pa.Table, Path], None]
"""Makes the file appear whole, or raises OSError and leaves nothing."""


@dataclass(frozen=True)
class LogLimits:
    """When a batch is written, and how much may wait.

    queue_rows: rows in memory at most, the batch being written included; more are dropped. A batch is
    written when `batch_rows` wait, or `batch_seconds` after its first row came.
    """

    queue_rows: int = 100_000
    batch_rows: int = 5_000
    batch_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.queue_rows < 1:
            raise InputError(
                "queue_rows", f"queue_rows: {self.queue_rows} leaves no room for a row; expected 1 or more."
            )
        if not 1 <= self.batch_rows <= self.queue_rows:
            raise InputError(
                "batch_rows",
                f"batch_rows: {self.batch_rows} is not between 1 and queue_rows ({self.queue_rows}); "
                "a larger batch would never fill.",
            )
        if not 0 < self.batch_seconds <= threading.TIMEOUT_MAX:
            raise InputError(
                "batch_seconds", f"batch_seconds: {self.batch_seconds} is not a positive number of seconds."
            )


@dataclass(frozen=True)
class LogState:
    """Rows since the start. `queued` are in memory still, the batch being written included.

    error: why the last write failed; None once a later one succeeded. closed: no more rows are taken.
    """

    queued: int
    written: int
    dropped: int
    failed: int
    error: str | None
    closed: bool


class LogWriter:
    """The log of one process: `with LogWriter(root, contracts) as log: log.offer(rows)`.

    contracts: every contract rows will be offered under. Raises StoreError where the directory cannot be
    written, ContractError where it holds another contract's rows. Several processes may write to one root.
    serving: the settings the rows are served under; each row names it, and it is kept beside them. experiments: hash ->
    split that rows are assigned under, kept likewise. clock: only names
    the files. name: tells this writer's files from others'.
    """

    def __init__(
        self,
        root: Path,
        contracts: Iterable[FeatureContract],
        limits: LogLimits | None = None,
        *,
        serving: ServingVersion | None = None,
        experiments: Mapping[str, Mapping[str, Any]] | None = None,
        clock: Clock = utc_now,
        name: str | None = None,
        write: WriteFile | None = None,
    ) -> None:
        self.root = root
        self.limits = limits or LogLimits()
        self.serving = serving
        self._experiments = experiments or {}
        self._contracts: Mapping[str, FeatureContract] = {contract.hash: contract for contract in contracts}
        # Sorts by start, and no two processes share it.
        self._name = name or f"{clock().astimezone(UTC):%Y%m%dT%H%M%S}Z-{uuid4().hex[:12]}"
        self._write = write or write_parquet
        self._files = 0

        self._changed = threading.Condition()  # guards everything below
        self._waiting: deque[ServedRows] = deque()
        self._waiting_rows = 0
        self._waiting_since = 0.0
        self._in_hand = 0
        self._written = 0
        self._dropped = 0
        self._failed = 0
        self._error: str | None = None
        self._flushes = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LogWriter:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> LogState:
        with self._changed:
            return LogState(
                queued=self._waiting_rows + self._in_hand,
                written=self._written,
                dropped=self._dropped,
                failed=self._failed,
                error=self._error,
                closed=self._closed,
            )

    def start(self) -> None:
        """Makes the directories, writes the contracts and starts the thread. A second call does nothing."""
        if self._thread is not None:
            return
        for contract in self._contracts.values():
            _prepare(log_directory(self.root, contract), contract, self.serving, self._experiments)
        # A daemon: a process that dies without `close` must not hang on its log.
        self._thread = threading.Thread(target=self._run, name="trueup-eventlog", daemon=True)
        self._thread.start()

    def take_in(self, contract: FeatureContract) -> None:
        """From now on rows may be offered under this contract too. Raises what `start` raises."""
        if contract.hash in self._contracts:
            return
        if self._thread is not None:
            _prepare(log_directory(self.root, contract), contract, self.serving, self._experiments)
        self._contracts = {**self._contracts, contract.hash: contract}  # in one step: the log's thread reads it

    def offer(self, served: ServedRows) -> bool:
        """Takes the rows, all or none; False when they were dropped. Never waits for the disk."""
        rows = served.num_rows
        if not rows:
            return True
        with self._changed:
            if self._closed or self._waiting_rows + self._in_hand + rows > self.limits.queue_rows:
                self._dropped += rows
                return False
            if not self._waiting:
                self._waiting_since = time.monotonic()
            self._waiting.append(served)
            self._waiting_rows += rows
            # The thread sleeps until a batch is due: wake it for the first rows and for a full batch only.
            if len(self._waiting) == 1 or self._waiting_rows >= self.limits.batch_rows:
                self._changed.notify_all()
            return True

    def flush(self) -> None:
        """Returns when every row taken before the call is written, or failed."""
        with self._changed:
            settled = self._written + self._failed + self._in_hand + self._waiting_rows
            self._flushes += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._written + self._failed >= settled)
            self._flushes -= 1

    def close(self) -> None:
        """Takes no more rows, writes those it took and ends the thread. A second call does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            for contract, day, served in _by_file(batch):
                self._write_one(contract, day, served)

    def _next_batch(self) -> list[ServedRows]:
        """Waits until a batch is due and takes it in hand; empty when the log is closed and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            left = self._waiting_since + self.limits.batch_seconds - time.monotonic()
            self._changed.wait_for(self._due, timeout=max(0.0, left))
            batch = list(self._waiting)
            self._waiting.clear()
            self._in_hand, self._waiting_rows = self._waiting_rows, 0
            return batch

    def _due(self) -> bool:
        return self._closed or self._flushes > 0 or self._waiting_rows >= self.limits.batch_rows

    def _write_one(self, contract: str, day: date, served: Sequence[ServedRows]) -> None:
        rows = sum(item.num_rows for item in served)
        error = None
        try:
            self._write_file(contract, day, served)
        # Whatever went wrong, the thread must live on: without it every later row would be lost unseen.
        except Exception as problem:  # noqa: BLE001
            error = f"{type(problem).__name__}: {problem}"
            logger.error("%d served rows are lost, their log file could not be written: %s", rows, error)
        with self._changed:
            self._in_hand -= rows
            self._error = error
            if error is None:
                self._written += rows
            else:
                self._failed += rows
            self._changed.notify_all()

    def _write_file(self, contract: str, day: date, served: Sequence[ServedRows]) -> None:
        known = self._contracts.get(contract)
        if known is None:
            raise ContractError(f"contract {contract[:12]} is not one this log was opened for.")
        directory = log_directory(self.root, known) / date_directory(day)
        directory.mkdir(parents=True, exist_ok=True)
        self._files += 1
        serving = None if self.serving is None else self.serving.hash
        self._write(to_table(known, served, serving), directory / f"{self._name}-{self._files:06d}{SUFFIX}")


def write_parquet(table: pa.Table, path: Path) -> None:
    """A Parquet file that appears whole, without statistics of float columns.

    DuckDB 2.0 trusts the minimum and maximum pyarrow writes, which leave NaN out: it then skips NaNs that
    are there (`isnan(x)` found none of ten). Without the statistics it reads them.
    """
    part = hidden(path)
    try:
        with part.open("xb") as file:
            pq.write_table(table, file, compression="zstd", write_statistics=_leaves_with_statistics(table.schema))
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the bytes do
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _leaves_with_statistics(schema: pa.Schema) -> list[str]:
    return [
        field.name for field in schema if not pa.types.is_nested(field.type) and not pa.types.is_floating(field.type)
    ]


def _by_file(batch: Sequence[ServedRows]) -> list[tuple[str, date, list[ServedRows]]]:
    """Rows of one contract and one UTC day go into one file, in the order they came."""
    groups: dict[tuple[str, date], list[ServedRows]] = {}
    for item in batch:
        groups.setdefault((item.contract.hash, item.instant.astimezone(UTC).date()), []).append(item)
    return [(contract, day, served) for (contract, day), served in groups.items()]


def _prepare(
    directory: Path,
    contract: FeatureContract,
    serving: ServingVersion | None,
    experiments: Mapping[str, Mapping[str, Any]],
) -> None:
    """Makes the directory with its contract, the serving version and the splits; an equal contract there stays."""
    path = directory / CONTRACT_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _check_contract(path, contract)
        # Written anew even where it stands: the first write of a process shows whether the disk takes any.
        _write_json(path, contract.to_json())
        if serving is not None:
            kept = serving_file(directory, serving.hash)
            kept.parent.mkdir(exist_ok=True)
            _write_json(kept, serving.to_json())
        for version, split in experiments.items():
            kept = experiment_file(directory, version)
            kept.parent.mkdir(exist_ok=True)
            _write_json(kept, split)
    except OSError as error:
        raise StoreError(
            f"the event log cannot be written to {directory}: {error.strerror or error}.",
            hint="Every served row must be logged: free the disk, or give the log another directory.",
        ) from error


def _write_json(path: Path, content: object) -> None:
    """A file that appears whole."""
    part = path.with_name(f".{uuid4().hex}.tmp")
    try:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _check_contract(path: Path, contract: FeatureContract) -> None:
    try:
        known = FeatureContract.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(
            f"{path} is not a contract: {type(error).__name__}: {error}.",
            hint="It was edited by hand or damaged; move this log away and start again.",
        ) from error
    if known.hash != contract.hash:
        raise ContractError(
            f"{path} is contract {known.hash[:12]} of {known.service}, not {contract.hash[:12]}.",
            hint="Move this log away, or give the server another log directory.",
        )
