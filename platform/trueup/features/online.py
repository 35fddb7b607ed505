"""`OnlineReader`: the features of a contract, read from Redis as a request needs them.

A reader is planned once: keys, hash fields, decoders. A read is then one round trip, whatever the number of
views: one HMGET for each distinct entity. Sync and async send the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from trueup.contracts.contract import FeatureContract, View
from trueup.errors import ContractError, InputError, StoreError
from trueup.features.on_demand import with_on_demand
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.instants import EPOCH, as_utc
from trueup.stores.entity_key import KEY_FORMAT, KeyLayout, KeyPartError
from trueup.stores.redis_connection import AsyncClient, Client, store_errors
from trueup.stores.redis_layout import check_collisions, decode_time, time_field, value_field
from trueup.stores.redis_read import MergedReads, Reply, merge_reads, queue
from trueup.stores.value_decoder import Decode, decoder

_MICROSECOND = timedelta(microseconds=1)
_PRESENT, _NULL, _MISSING, _EXPIRED = map(int, (Status.PRESENT, Status.NULL, Status.MISSING, Status.EXPIRED))

_Row = tuple[tuple[Any, ...], tuple[int, ...], int | None]
"""Values, statuses and event time (microseconds since 1970) of one entity in one view."""


class OnlineReader:
    """Reads a contract's features from Redis. Safe to share between threads.

    key_format: the repository's `entity_key_serialization_version`. tables: view name -> the name its online
    data goes by, where that is not `View.table` (`name_vN` in a repository with online versioning).
    Raises ContractError for a contract that cannot be read from Redis.
    """

    def __init__(
        self,
        contract: FeatureContract,
        *,
        client: Client | None = None,
        async_client: AsyncClient | None = None,
        project: str | None = None,
        key_format: int = KEY_FORMAT,
        tables: Mapping[str, str] | None = None,
    ) -> None:
        if key_format != KEY_FORMAT:
            raise ContractError(
                f"entity_key_serialization_version is {key_format}; trueup reads version {KEY_FORMAT}.",
                hint=f"Set it to {KEY_FORMAT} in feature_store.yaml and materialize again.",
            )
        self.contract = contract
        self._client = client
        self._async_client = async_client
        self._groups = _groups(contract, project or contract.project, tables or {})

    def read(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> FeatureFrame:
        """The contract's features of each row, one row in, one row out, in order, as of `now`.

        rows: the entity keys and the request fields; more is fine. A null key part is an entity that cannot
        exist: MISSING. An integer key may come as decimal text and a string key as an integer, as in Feast;
        nothing else is converted. A value is EXPIRED when now - event time > TTL; equal is PRESENT. A feature
        that the entity's row never got, because it was added to the view later, is MISSING.
        Raises InputError (the field is named) for a row that cannot be looked up, StoreError when Redis fails
        or holds a value of another type than declared.
        """
        if self._client is None:
            raise ValueError("this reader was made without a client")
        keys, plan = self._plan(rows)
        replies: Sequence[Reply] = []
        if plan.gets:
            with store_errors(self._client), self._client.pipeline(transaction=False) as pipe:
                queue(pipe, plan)
                replies = pipe.execute()
        return self._frame(rows, keys, plan, replies, now)

    def nothing(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> FeatureFrame:
        """What `read` gives of entities that the store has nothing of, without asking it: every view is MISSING, and
        on-demand features are computed of that and of the request. Raises what `read` raises of a row."""
        unknown: list[list[bytes | None]] = [[None] * len(rows) for _ in self._groups]
        return self._frame(rows, unknown, merge_reads([(group.fields, ()) for group in self._groups]), [], now)

    async def read_async(self, rows: Sequence[Mapping[str, Any]], now: datetime) -> FeatureFrame:
        """The same over asyncio."""
        if self._async_client is None:
            raise ValueError("this reader was made without an asyncio client")
        keys, plan = self._plan(rows)
        replies: Sequence[Reply] = []
        if plan.gets:
            with store_errors(self._async_client):
                async with self._async_client.pipeline(transaction=False) as pipe:
                    queue(pipe, plan)
                    replies = await pipe.execute()
        return self._frame(rows, keys, plan, replies, now)

    def _plan(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[list[bytes | None]], MergedReads]:
        keys = [group.keys(rows) for group in self._groups]
        return keys, merge_reads([(group.fields, own) for group, own in zip(self._groups, keys, strict=True)])

    def _frame(
        self,
        rows: Sequence[Mapping[str, Any]],
        keys: Sequence[Sequence[bytes | None]],
        plan: MergedReads,
        replies: Sequence[Reply],
        now: datetime,
    ) -> FeatureFrame:
        instant = (as_utc(now) - EPOCH) // _MICROSECOND
        values: dict[str, pa.Array] = {}
        statuses: dict[str, pa.Array] = {}
        times: dict[str, pa.Array] = {}
        for place, group in enumerate(self._groups):
            found = plan.of_group(place, replies)
            for view in group.views:
                cells = {key: view.row(reply, instant) for key, reply in found.items()}
                picked = [view.missing if key is None else cells[key] for key in keys[place]]
                for at, (column, dtype) in enumerate(view.columns):
                    values[column] = _array(column, [row[0][at] for row in picked], dtype)
                    statuses[column] = pa.array([row[1][at] for row in picked], STATUS)
                times[view.name] = pa.array([row[2] for row in picked], EVENT_TIME)
        order = [view.column(item.name) for view in self.contract.views for item in view.features]
        frame = FeatureFrame(
            _table([(column, values[column]) for column in order]),
            _table([(column, statuses[column]) for column in order]),
            _table([(view.name, times[view.name]) for view in self.contract.views]),
        )
        if not self.contract.on_demand:
            return frame.select(self.contract.columns)
        return with_on_demand(self.contract, frame, self._request(rows))

    def _request(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for field in self.contract.request_fields:
            try:
                columns[field.name] = [row[field.name] for row in rows]
            except KeyError:
                raise InputError(
                    field.name, f"request field {field.name!r} ({field.dtype}) is missing from a row."
                ) from None
        return columns


def _array(column: str, values: Sequence[Any], dtype: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, dtype)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        # Only inside lists of lists, whose items Feast stores by their Python type.
        raise StoreError(f"{column} holds a value that is no {dtype}: {error}.") from error


def _table(columns: Sequence[tuple[str, pa.Array]]) -> pa.Table:
    return pa.Table.from_arrays([array for _, array in columns], names=[name for name, _ in columns])


@dataclass(frozen=True)
class _ViewPlan:
    """Where one view's features are in a group's reply, and how to read them."""

    name: str
    columns: tuple[tuple[str, pa.DataType], ...]
    start: int
    decoders: tuple[Decode, ...]
    ttl: int | None
    missing: _Row
    expired: tuple[tuple[Any, ...], tuple[int, ...]]

    def row(self, reply: Reply, now: int) -> _Row:
        """One entity's features. now: microseconds since 1970."""
        written = reply[self.start]
        if written is None:
            return self.missing
        time = decode_time(written)
        if self.ttl is not None and now - time > self.ttl:
            return (*self.expired, time)
        values = []
        statuses = []
        at = self.start
        for decode in self.decoders:
            at += 1
            raw = reply[at]
            value = None if raw is None else decode(raw)
            values.append(value)
            statuses.append(_MISSING if raw is None else _NULL if value is None else _PRESENT)
        return tuple(values), tuple(statuses), time


@dataclass(frozen=True)
class _Group:
    """The views of a contract that are looked up by the same columns: they share every entity's hash."""

    layout: KeyLayout
    requests: tuple[tuple[str, str], ...]
    """(column of a row, Feast type), in the order of the layout's join keys."""
    fields: tuple[bytes, ...]
    views: tuple[_ViewPlan, ...]

    def keys(self, rows: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """The Redis key of each row; None where a part of it is null."""
        keys: list[bytes | None] = []
        for row in rows:
            try:
                values = [row[column] for column, _ in self.requests]
                keys.append(None if any(value is None for value in values) else self.layout.encode(values))
            except KeyError as error:
                column = str(error.args[0])
                raise InputError(
                    column, f"entity key {column!r} ({dict(self.requests)[column]}) is missing from row {len(keys)}."
                ) from None
            except KeyPartError as error:
                column, dtype = self.requests[error.position]
                raise InputError(column, f"entity key {column!r} is {dtype}, but in row {len(keys)} {error}.") from None
        return keys


def _groups(contract: FeatureContract, project: str, tables: Mapping[str, str]) -> tuple[_Group, ...]:
    by_keys: dict[tuple[tuple[str, str, str], ...], list[View]] = {}
    by_entity: dict[tuple[tuple[str, str], ...], list[tuple[str, str]]] = {}
    for view in contract.views:
        keys = tuple(sorted((key.name, key.dtype, key.request) for key in view.keys))
        by_keys.setdefault(keys, []).append(view)
        table = tables.get(view.name, view.table)
        shared = by_entity.setdefault(tuple((name, dtype) for name, dtype, _ in keys), [])
        shared.extend((table, item.name) for item in view.features)
    for features in by_entity.values():
        check_collisions(features)
    groups = []
    for keys, views in by_keys.items():
        fields: list[bytes] = []
        plans = []
        for view in views:
            table = tables.get(view.name, view.table)
            plans.append(_view_plan(view, table, start=len(fields)))
            fields.append(time_field(table))
            fields.extend(value_field(table, item.name) for item in view.features)
        groups.append(
            _Group(
                layout=KeyLayout(project, tuple((name, dtype) for name, dtype, _ in keys)),
                requests=tuple((request, dtype) for _, dtype, request in keys),
                fields=tuple(fields),
                views=tuple(plans),
            )
        )
    return tuple(groups)


def _view_plan(view: View, table: str, *, start: int) -> _ViewPlan:
    nothing = (None,) * len(view.features)
    return _ViewPlan(
        name=view.name,
        columns=tuple((view.column(item.name), item.arrow) for item in view.features),
        start=start,
        decoders=tuple(decoder(item.dtype, f"{table}:{item.name}") for item in view.features),
        ttl=None if view.ttl is None else view.ttl // _MICROSECOND,
        missing=(nothing, (_MISSING,) * len(view.features), None),
        expired=(nothing, (_EXPIRED,) * len(view.features)),
    )
