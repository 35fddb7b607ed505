"""Everything a parity run reads: the served log, the sources, the ledger, the online store. The only I/O here.

Sources are read once per reading: a smaller set of the same rows is taken from what was read before, and rows
that ask the same question (two models scored on one request) are read as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract, JoinKey, View
from trueup.errors import InputError, TrueupError
from trueup.eventlog.reader import ServedLog, find_logs, read_log
from trueup.eventlog.records import LOG_TIMESTAMP, MODEL, MODEL_VERSION, REQUEST_ID, ROLE, ROW
from trueup.features.historical import read_as_of
from trueup.features.on_demand import with_on_demand
from trueup.features.online import OnlineReader
from trueup.frame import EVENT_TIME, FeatureFrame
from trueup.instants import EPOCH, AsOfRule
from trueup.parity.causes import Reading
from trueup.parity.checks.online import Entities
from trueup.parity.checks.served import ServedModel
from trueup.parity.compare import Mask, Tolerance
from trueup.parity.explain import Case, Rows, take
from trueup.parity.report import Cell, Sample
from trueup.parity.tally import Labels, shown
from trueup.stores.asof import read_latest
from trueup.stores.asof_sql import clock, identifier, key
from trueup.stores.duckdb_tables import connect, describe, source_relation
from trueup.stores.ledger import Ledger, Run
from trueup.stores.redis_connection import Client
from trueup.stores.typed import feature_column

INSTANT = "__trueup_instant"
"""Column of a row's own instant. A name of ours: a request may have one of any other name."""

Progress = Callable[[str], None]
"""Told what is being done now."""

ReadOnline = Callable[[FeatureContract, pa.Table, datetime], FeatureFrame]
"""Reads entity rows from the online store as of an instant: `trueup.features.online`, or any other store's."""


class TrainedModel(Protocol):
    """What parity must know of a model: `trueup.models.card.ModelCard` has it."""

    @property
    def contract(self) -> FeatureContract: ...

    @property
    def rule(self) -> AsOfRule: ...


CardOf = Callable[[str, str], TrainedModel]
"""Card of a registered model by name and version; raises a TrueupError when there is none."""


@dataclass(frozen=True)
class Unreadable:
    """A model in the log that cannot be checked, and why. It could not run; the others still do."""

    model: str
    version: str
    rows: int
    problem: str


def redis_reader(client: Client) -> ReadOnline:
    """Reads from a Redis in Feast's layout, as serving does."""

    def read(contract: FeatureContract, rows: pa.Table, now: datetime) -> FeatureFrame:
        return OnlineReader(contract, client=client).read(rows.to_pylist(), now)

    return read


def nothing(_now: str) -> None:
    """A progress that nobody watches."""


class Source:
    """Rows of one set, recomputed under any reading. Remembers what it read, view by view.

    rows: entity and request columns and INSTANT. Rows with the same content are read once.
    """

    def __init__(self, rows: pa.Table, *, repo: Path, ledger: Ledger | None, progress: Progress = nothing) -> None:
        self._distinct, self._number = distinct(rows)
        self._repo, self._ledger, self._progress = repo, ledger, progress
        self._known: dict[tuple[str, str, Reading], tuple[Rows, FeatureFrame]] = {}

    def __call__(self, contract: FeatureContract, reading: Reading, rows: Rows) -> FeatureFrame:
        wanted, positions = np.unique(self._number[rows], return_inverse=True)
        wanted = wanted.astype(np.int64)
        frames = [self._view(contract, view, reading, wanted) for view in contract.views]
        inputs = FeatureFrame(
            _side_by_side([frame.values for frame in frames]),
            _side_by_side([frame.statuses for frame in frames]),
            _side_by_side([frame.event_timestamps for frame in frames]),
        )
        chosen = self._distinct.take(pa.array(wanted))
        request = {item.name: chosen.column(item.name).to_pylist() for item in contract.request_fields}
        return take(with_on_demand(contract, inputs, request), positions)

    def _view(self, contract: FeatureContract, view: View, reading: Reading, rows: Rows) -> FeatureFrame:
        """All features of one view for these rows: from what is known, where that covers them."""
        reading = self._in_effect(contract, view, reading)
        name = (view.name, view.definition_hash, reading)
        known, frame = self._known.get(name, (None, None))
        if known is None or frame is None or not np.isin(rows, known, assume_unique=True).all():
            known, frame = rows, self._read(contract, view, reading, rows)
            self._known[name] = known, frame
        return take(frame, np.searchsorted(known, rows))

    def _in_effect(self, contract: FeatureContract, view: View, reading: Reading) -> Reading:
        """The same reading without what makes no difference to this view."""
        landed = reading.rule.known_at == "served" and self._ledger is not None
        runs = landed and self._ledger is not None and bool(self._ledger.runs(contract.project, view.table))
        return replace(reading, ttl=reading.ttl or view.ttl is None, under_way=reading.under_way and runs)

    def _read(self, contract: FeatureContract, view: View, reading: Reading, rows: Rows) -> FeatureFrame:
        alone = replace(
            contract,
            features=tuple((view.name, item.name) for item in view.features),
            views=(view if reading.ttl else replace(view, ttl=None),),
            on_demand=(),
        )
        ledger = self._ledger
        if reading.under_way and ledger is not None:
            ledger = _LandedAtStart(ledger.path)
        self._progress(f"recompute {view.name} {describe_reading(reading)}, {len(rows):,} rows")
        return read_as_of(
            alone,
            self._distinct.take(pa.array(rows)),
            reading.rule,
            repo=self._repo,
            ledger=ledger,
            instant=INSTANT,
        )


class _LandedAtStart(Ledger):
    """The ledger as if each run had landed the moment it began.

    At an instant within a run its rows then count; before and after, nothing changes. An unfinished run has
    landed nothing either way.
    """

    def runs(self, project: str, view: str) -> tuple[Run, ...]:
        return tuple(
            run if run.finished_at is None else replace(run, finished_at=run.started_at)
            for run in super().runs(project, view)
        )


def describe_reading(reading: Reading) -> str:
    """As a person says it: `as served`, `as label, without TTL`."""
    parts = [f"as {reading.rule.known_at}"]
    parts += ["without TTL"] if not reading.ttl else []
    parts += ["with runs under way"] if reading.under_way else []
    return ", ".join(parts)


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
    progress: Progress = nothing,
) -> Iterator[ServedModel | Unreadable]:
    """Each model version in the served logs under `log_dir`, by log directory and name.

    rule: recompute under this one, not under each model's own. The pinned instant of a model's rule is left
    out: it froze the model's training set, and says nothing of rows that were served later.
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
                yield _served_model(log, source, card, model, version, rows, ledger, rule, tolerances)
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
) -> ServedModel:
    contract = card.contract
    at = _instants(log.table)
    uncompared: dict[str, int] = {}
    kept = rows
    if contract.hash != log.contract.hash:
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
        served=log.frame,
        under_way=under_way(contract, at, ledger),
        recompute=source,
        tolerances=own,
    )
    labels = Labels(at, *(log.table.column(name).combine_chunks() for name in (REQUEST_ID, ROW, ROLE)))
    return ServedModel(model, version, whole.subset(kept), labels.subset(kept), uncompared)


def view_contracts(contract: FeatureContract) -> tuple[FeatureContract, ...]:
    """One contract for each view's table, with all features the service needs of it, under its own name and keys.

    A table that a service uses twice (origin and destination) stands online once.
    """
    tables: dict[str, list[View]] = {}
    for view in contract.views:
        tables.setdefault(view.table, []).append(view)
    found = []
    for name, uses in tables.items():
        first = uses[0]
        features = {item.name: item for use in uses for item in use.features}
        alone = replace(
            first,
            name=name,
            keys=tuple(JoinKey(item.name, item.dtype, item.name) for item in first.keys),
            features=tuple(features.values()),
        )
        found.append(replace(contract, features=tuple((name, item) for item in features), views=(alone,), on_demand=()))
    return tuple(found)


def online_entities(
    contract: FeatureContract,
    online: ReadOnline,
    *,
    repo: Path,
    ledger: Ledger | None,
    now: datetime,
    batch_rows: int,
    tolerances: Mapping[str, Tolerance] | None = None,
    progress: Progress = nothing,
) -> Iterator[Entities]:
    """Every entity of a view's source known by `now`, in key order, `batch_rows` at a time. contract: of one view."""
    (view,) = contract.views
    progress(f"list entities of {view.table}")
    keys = _entity_keys(view, repo, now)
    at = (now - EPOCH) // timedelta(microseconds=1)
    own = {name: tolerance for name, tolerance in (tolerances or {}).items() if name in contract.columns}
    for offset in range(0, keys.num_rows, batch_rows):
        rows = keys.slice(offset, batch_rows)
        progress(f"check {view.table} {offset + rows.num_rows:,} of {keys.num_rows:,} entities")
        instants = np.full(rows.num_rows, at, np.int64)
        case = Case(
            contract=contract,
            reading=Reading(AsOfRule("served")),
            inputs=rows,
            served=online(contract, rows, now),
            under_way=under_way(contract, instants, ledger),
            recompute=Source(rows, repo=repo, ledger=ledger),
            tolerances=own,
        )
        yield Entities(case, Labels(instants))


def under_way(contract: FeatureContract, at: Rows, ledger: Ledger | None) -> Mask:
    """Rows whose instant (microseconds since 1970) lies within a run of one of the contract's views:
    started_at <= instant < finished_at. A run that never finished has no end to compare with; what it wrote is named
    `ahead_of_ledger`."""
    inside = np.zeros(len(at), np.bool_)
    if ledger is None:
        return inside
    for table in dict.fromkeys(view.table for view in contract.views):
        spans = [
            (_micros(run.started_at), _micros(run.finished_at))
            for run in ledger.runs(contract.project, table)
            if run.finished_at is not None
        ]
        starts = np.sort(np.array([start for start, _ in spans], np.int64))
        ends = np.sort(np.array([end for _, end in spans], np.int64))
        # Within a run exactly where more runs have begun than ended.
        inside |= np.searchsorted(starts, at, "right") > np.searchsorted(ends, at, "right")
    return inside


def with_created(samples: Iterable[Sample], contract: FeatureContract, *, repo: Path) -> tuple[Sample, ...]:
    """The samples with the known time of each side: since when the source has had that value at that event time.

    One query a view. A value the source never had keeps none.
    """
    samples = tuple(samples)
    created: dict[tuple[str, tuple[str, ...], int, str | None], datetime] = {}
    for view in contract.views:
        mine = [sample for sample in samples if sample.feature in {view.column(item.name) for item in view.features}]
        if mine and view.source.created_column is not None:
            created |= _first_known(view, view.source.created_column, mine, repo)

    def known(sample: Sample, cell: Cell) -> Cell:
        if cell.event_time is None:
            return cell
        place = (sample.feature, tuple(sample.keys.values()), _micros(cell.event_time))
        # Of an expired row the value is not shown; then the row itself counts, whatever its value.
        value = cell.value if cell.status in ("present", "null") else ANY_VALUE
        return replace(cell, created=created.get((*place, value)))

    return tuple(
        replace(sample, served=known(sample, sample.served), recomputed=known(sample, sample.recomputed))
        for sample in samples
    )


ANY_VALUE = "\x00any"
"""Stands for whatever value a row has."""


def _first_known(
    view: View, created: str, samples: Sequence[Sample], repo: Path
) -> dict[tuple[str, tuple[str, ...], int, str | None], datetime]:
    """(feature, key, event time, value) -> earliest created time of a row of the source with them."""
    wanted = {
        (tuple(sample.keys[item.request] for item in view.keys), _micros(cell.event_time))
        for sample in samples
        for cell in (sample.served, sample.recomputed)
        if cell.event_time is not None
    }
    own = {view.column(item.name): item for item in view.features}
    features = tuple(own[name] for name in dict.fromkeys(sample.feature for sample in samples))
    what = f"feature view {view.table}"
    found: dict[tuple[str, tuple[str, ...], int, str | None], datetime] = {}
    with connect() as connection:
        relation = source_relation(connection, view.source, repo, what=what)
        types = describe(connection, relation, what=what)
        key_names = [f"k{i}" for i in range(len(view.keys))]
        names = [f"f{i}" for i in range(len(features))]
        columns = [
            *(
                f"{key(column, types[column], item.dtype)} AS {name}"
                for item, name in zip(view.keys, key_names, strict=True)
                for column in [view.source.column(item.name)]
            ),
            *(
                f"{identifier(view.source.column(item.name))} AS {name}"
                for item, name in zip(features, names, strict=True)
            ),
            f"{clock(view.source.timestamp_field)} AS e",
            f"coalesce({clock(created)}, {clock(view.source.timestamp_field)}) AS c",
        ]
        times = pa.table({"e": pa.array(sorted({time for _, time in wanted}), pa.int64())})
        connection.register("trueup_wanted", times)
        table: pa.Table = connection.sql(
            f"SELECT * FROM (SELECT {', '.join(columns)} FROM {relation} AS source) "
            "WHERE e IN (SELECT e FROM trueup_wanted) ORDER BY c"
        ).to_arrow_table()
    keys = zip(*([shown(value) for value in table[name].to_pylist()] for name in key_names), strict=True)
    places = list(zip(keys if key_names else [()] * table.num_rows, table["e"].to_pylist(), strict=True))
    known = [EPOCH + timedelta(microseconds=value) for value in table["c"].to_pylist()]
    for item, name in zip(features, names, strict=True):
        values = feature_column(table[name], item.dtype, what=what).to_pylist()
        for place, value, instant in zip(places, values, known, strict=True):
            if place in wanted:
                for text in (None if value is None else shown(value), ANY_VALUE):
                    found.setdefault((view.column(item.name), *place, text), instant)
    return found


def distinct(rows: pa.Table) -> tuple[pa.Table, Rows]:
    """The different rows of a table, and of each row the number of the one it is."""
    number = np.zeros(rows.num_rows, np.int64)
    first = np.arange(min(rows.num_rows, 1), dtype=np.int64)
    for column in rows.columns:
        if pa.types.is_nested(column.type):  # cannot be dictionary-encoded: every row is its own
            return rows, np.arange(rows.num_rows, dtype=np.int64)
        codes = column.combine_chunks().dictionary_encode(null_encoding="encode")
        combined = number * max(len(codes.dictionary), 1) + np.asarray(codes.indices).astype(np.int64)
        # Made dense again column by column, so that the product never overflows.
        _, first, number = np.unique(combined, return_index=True, return_inverse=True)
    return rows.take(pa.array(first)), number.astype(np.int64)


def _side_by_side(tables: Sequence[pa.Table]) -> pa.Table:
    columns = [
        (name, column) for table in tables for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.Table.from_arrays([column for _, column in columns], names=[name for name, _ in columns])


def _questions(log: ServedLog) -> pa.Table:
    instants = pc.fill_null(log.table.column(LOG_TIMESTAMP), pa.scalar(EPOCH, EVENT_TIME))
    return log.inputs.append_column(INSTANT, instants)


def _by_model(table: pa.Table) -> Iterator[tuple[str, str, Rows]]:
    """Name, version and row numbers of each model version in the log, sorted."""
    pairs, number = distinct(table.select([MODEL, MODEL_VERSION]))
    names = [(str(pair[MODEL]), str(pair[MODEL_VERSION])) for pair in pairs.to_pylist()]
    for pair, index in sorted((pair, index) for index, pair in enumerate(names)):
        yield *pair, np.flatnonzero(number == index)


def _entity_keys(view: View, repo: Path, now: datetime) -> pa.Table:
    """Key columns and INSTANT of every entity the source knew by `now`, in key order."""
    with connect() as connection:
        bare = replace(view, features=())
        latest = read_latest(connection, bare, start=None, end=now, known_at=now, base_dir=repo)
    instants = pa.array([now], EVENT_TIME).take(pa.array(np.zeros(latest.num_rows, np.int64)))
    return pa.table({**{name: latest.keys[name] for name in latest.keys.column_names}, INSTANT: instants})


def _instants(table: pa.Table) -> Rows:
    column = table.column(LOG_TIMESTAMP).combine_chunks().cast(EVENT_TIME)
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)).astype(np.int64)


def _micros(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)
