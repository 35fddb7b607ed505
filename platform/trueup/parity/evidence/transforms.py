"""On-demand views as the registry has them, and rows to try them on: real ones where there are any, and generated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from trueup.contracts.contract import FeatureContract, Field, OnDemand, View
from trueup.contracts.extract import extract_contract, on_demand_from_feast, view_from_feast
from trueup.errors import ContractError, SourceError
from trueup.eventlog.reader import find_logs
from trueup.eventlog.records import LOG_TIMESTAMP
from trueup.features.example_rows import example_rows, has_examples
from trueup.features.historical import read_as_of
from trueup.instants import AsOfRule
from trueup.parity.checks.transforms import RowSet, TriedView
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.evidence.recompute import INSTANT
from trueup.parity.evidence.windows import Window
from trueup.stores.asof import read_latest
from trueup.stores.duckdb_tables import connect
from trueup.stores.ledger import Ledger

if TYPE_CHECKING:
    from feast import FeatureStore, OnDemandFeatureView

REAL_ROWS = 1_000
GENERATED_ROWS = 400


@dataclass(frozen=True)
class Candidate:
    """An on-demand view to try. types: input column (`view__feature`, request field) -> Feast type.

    sources: the views its inputs are of, by name, with those inputs; why there are none, where their source cannot be
    read. nulls: input columns of a type trueup has no values of, and that type: the function is given nulls for them.
    """

    view: OnDemand
    types: Mapping[str, str]
    sources: Mapping[str, View] | str
    service: str | None = None
    contract: str | None = None
    nulls: Mapping[str, str] = field(default_factory=dict)

    def rows(self, name: str, source: str, columns: pa.Table) -> RowSet:
        absent = {column: pa.nulls(columns.num_rows) for column in self.nulls}
        rows = pa.table({**{item: columns.column(item) for item in self.types}, **absent})
        return RowSet(name, source, rows, self.types)


@dataclass(frozen=True)
class Where:
    """Where real rows are looked for. log_dir: served logs, first. repo, ledger: the sources, as of `now`.

    rows: at most so many real ones.
    """

    repo: Path
    ledger: Ledger | None
    now: datetime
    log_dir: Path | None = None
    rows: int = REAL_ROWS


def tried_views(
    store: FeatureStore,
    service: str | None,
    where: Where,
    *,
    generated: int = GENERATED_ROWS,
    seed: int = 0,
    progress: Progress = nothing,
) -> Iterator[TriedView | Unreadable]:
    """Each on-demand view of a feature service, or of the whole repository, by name.

    generated: rows made up by the declared types. seed: of them, and of the orders they are tried in.
    """
    for candidate in candidates(store, service):
        if isinstance(candidate, Unreadable):
            yield candidate
            continue
        name = candidate.view.name
        progress(f"rows for {name}")
        sets: list[RowSet] = []
        notes = {}
        if candidate.nulls:
            notes["inputs given as null"] = ", ".join(f"{item} ({dtype})" for item, dtype in candidate.nulls.items())
        try:
            real = _logged(candidate, where) or _stored(candidate, where, seed) if where.rows else None
            sets += [] if real is None else [real]
        except (SourceError, ContractError) as error:
            notes["no real rows"] = str(error)
        fields = [Field(column, dtype) for column, dtype in candidate.types.items()]
        sets.append(candidate.rows("generated", "made up by type", example_rows(fields, generated, seed=seed)))
        yield TriedView(
            candidate.view, tuple(sets), where.now, candidate.service, candidate.contract, seed=seed, notes=notes
        )


def candidates(store: FeatureStore, service: str | None) -> Iterator[Candidate | Unreadable]:
    """Raises ContractError for a service that does not exist, or that has no contract."""
    if service is not None:
        contract = extract_contract(store, service)
        sources = {view.name: view for view in contract.views}
        for view in contract.on_demand:
            mine = {name: sources[name] for name, _ in view.inputs}
            every = {mine[name].column(feature): _dtype(mine[name], feature) for name, feature in view.inputs}
            every |= {item.name: item.dtype for item in view.request}
            types = {name: dtype for name, dtype in every.items() if has_examples(dtype)}
            nulls = {name: dtype for name, dtype in every.items() if name not in types}
            yield Candidate(view, types, mine, contract.service, contract.hash, nulls)
        return
    for found in sorted(store.list_on_demand_feature_views(), key=lambda item: str(item.name)):
        try:
            yield _from_feast(store, found)
        except ContractError as error:
            yield Unreadable(found.name, "", 0, str(error))


def _from_feast(store: FeatureStore, found: OnDemandFeatureView) -> Candidate:
    view = on_demand_from_feast(found)
    types: dict[str, str] = {}
    nulls: dict[str, str] = {}
    sources: dict[str, View] | str = {}
    for projection in found.source_feature_view_projections.values():
        name = projection.name_to_use()
        for feature in projection.features:
            known = types if has_examples(str(feature.dtype)) else nulls
            known[f"{name}__{feature.name}"] = str(feature.dtype)
        if isinstance(sources, str):
            continue
        try:
            sources[name] = view_from_feast(
                store.registry.get_any_feature_view(projection.name, store.project),
                [feature.name for feature in projection.features if f"{name}__{feature.name}" in types],
                name=name,
                join_key_map=dict(projection.join_key_map),
            )
        except ContractError as error:
            sources = str(error)
    for item in view.request:
        (types if has_examples(item.dtype) else nulls)[item.name] = item.dtype
    return Candidate(view, types, sources, nulls=nulls)


def _only(view: View, wanted: Sequence[tuple[str, str]]) -> View:
    """The view with these of its features: (view, feature) pairs."""
    return replace(view, features=tuple(item for item in view.features if (view.name, item.name) in wanted))


def _dtype(view: View, feature: str) -> str:
    return next(item.dtype for item in view.features if item.name == feature)


def _logged(candidate: Candidate, where: Where) -> RowSet | None:
    """Inputs as they were served; what the log does not have of them is read from the sources, as it stood online."""
    if where.log_dir is None or not where.log_dir.is_dir():
        return None
    parts: list[pa.Table] = []
    for directory in find_logs(where.log_dir):
        window = Window(directory)
        if not _fits(candidate, window.contract):
            continue
        total = sum(found.rows for found in window.models())
        step = max(-(-total // where.rows), 1)
        seen = 0
        for log in window.batches():
            chosen = pa.array(np.arange(-seen % step, log.num_rows, step))
            seen += log.num_rows
            inputs = log.inputs.append_column(INSTANT, log.table.column(LOG_TIMESTAMP))
            parts.append(_inputs(candidate, log.frame.values.take(chosen), inputs.take(chosen), where))
    rows = pa.concat_tables(parts) if parts else None
    return candidate.rows("real", "served, from the log", rows) if rows is not None and rows.num_rows else None


def _fits(candidate: Candidate, contract: FeatureContract) -> bool:
    """Whether a log has the request fields the view needs, and the keys to read its other inputs by."""
    sent = {item.name: item.dtype for item in (*contract.entity_fields, *contract.request_fields)}
    sources = {} if isinstance(candidate.sources, str) else candidate.sources
    keys = {key.request: key.dtype for view in sources.values() for key in view.keys}
    request = {item.name: item.dtype for item in candidate.view.request if item.name in candidate.types}
    wanted = {**keys, **request}
    same_service = candidate.service is None or candidate.service == contract.service
    return same_service and all(sent.get(name) == dtype for name, dtype in wanted.items())


def _inputs(candidate: Candidate, logged: pa.Table, sent: pa.Table, where: Where) -> pa.Table:
    columns: dict[str, pa.ChunkedArray] = {}
    missing: list[tuple[str, str]] = []
    for source, feature in candidate.view.inputs:
        name = f"{source}__{feature}"
        if name in candidate.nulls:
            continue
        wanted = Field(name, candidate.types[name]).arrow
        if name in logged.column_names and logged.schema.field(name).type == wanted:
            columns[name] = logged.column(name)
        else:
            missing.append((source, feature))
    if missing:
        if isinstance(candidate.sources, str):
            raise SourceError(candidate.sources)
        views = tuple(_only(candidate.sources[name], missing) for name in dict.fromkeys(name for name, _ in missing))
        bare = FeatureContract("", candidate.service or "", tuple(missing), views)
        values = read_as_of(
            bare, sent, AsOfRule("served"), repo=where.repo, ledger=where.ledger, instant=INSTANT
        ).values
        columns |= {name: values.column(name) for name in values.column_names}
    columns |= {item.name: sent.column(item.name) for item in candidate.view.request if item.name in candidate.types}
    return pa.table(columns)


def _stored(candidate: Candidate, where: Where, seed: int) -> RowSet | None:
    """The latest stored row of entities, views side by side; request fields, which no source has, are made up."""
    if isinstance(candidate.sources, str):
        raise SourceError(candidate.sources)
    tables: dict[str, pa.Table] = {}
    for name, view in candidate.sources.items():
        wanted = [
            (source, feature) for source, feature in candidate.view.inputs if view.column(feature) in candidate.types
        ]
        bare = _only(view, wanted)
        with connect() as connection:
            latest = read_latest(
                connection, bare, start=None, end=where.now, known_at=where.now, base_dir=where.repo
            ).features
        step = max(-(-latest.num_rows // where.rows), 1)
        tables[name] = latest.take(pa.array(np.arange(0, latest.num_rows, step)))
    count = max((table.num_rows for table in tables.values()), default=0)
    if not count or not all(table.num_rows for table in tables.values()):
        return None
    columns: dict[str, pa.ChunkedArray] = {}
    for source, feature in candidate.view.inputs:
        if f"{source}__{feature}" in candidate.types:
            repeated = pa.array(np.arange(count) % tables[source].num_rows)
            columns[f"{source}__{feature}"] = tables[source].column(feature).take(repeated)
    request = [item for item in candidate.view.request if item.name in candidate.types]
    made_up = example_rows(request, count, seed=seed, ordinary=True)
    columns |= {name: made_up.column(name) for name in made_up.column_names}
    also = ", request fields made up" if request else ""
    return candidate.rows("real", f"stored, the latest of each entity{also}", pa.table(columns))
