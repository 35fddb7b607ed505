"""Feast's Redis online store, held to the laws: the newest row wins, TTLs are applied, four states are told apart.

The bytes are Feast's own, so either store reads what the other wrote. What differs from Feast 0.67:

- a row lands if and only if its event time is not before the stored one, atomically; an equal one is a correction;
- a read says missing (NOT_FOUND), null (NULL_VALUE) and expired (OUTSIDE_MAX_AGE) apart from PRESENT;
- one HMGET for each entity, whatever the number of views, and features in the order they were asked for;
- a value whose stored type is not the declared one is an error, never served as if it were;
- deleting a view, or a project's data, leaves every other project alone; nothing to delete needs no Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from feast import Entity, FeatureService, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores import redis as feast_redis
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import StrictStr, field_validator
from typing_extensions import override

from trueup.errors import InputError
from trueup.frame import Status
from trueup.instants import EPOCH, as_utc, parse_instant, utc_now
from trueup.stores.entity_key import key_prefix, project_of
from trueup.stores.local_redis import stop_running
from trueup.stores.redis_connection import (
    AsyncClient,
    connect,
    connect_async,
    is_local,
    local_directory,
    store_errors,
)
from trueup.stores.redis_layout import check_collisions, decode_time, instant_of, scan_pattern, time_field, value_field
from trueup.stores.redis_read import MergedReads, Reply, merge_reads, queue
from trueup.stores.redis_write import BATCH_ROWS, LOAD, Command, Row, compare_and_set, newest, overwrite
from trueup.stores.value_bytes import has_value

MICROSECOND = timedelta(microseconds=1)

FeastRow = tuple[Any, Mapping[str, Any], datetime, datetime | None]
"""What Feast hands to a store: entity key and values as protobuf messages, event time, created time."""

# Deletes a view's fields, and the whole hash when no other view is in it, also fields that an older definition of
# the view left there. In the server, so that a view written meanwhile is not deleted with it.
_DELETE_VIEW = """
local mine = false
local others = false
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field == ARGV[1] then mine = true elseif field:sub(1, 4) == '_ts:' then others = true end
end
if not mine then return 0 end
if others then redis.call('HDEL', KEYS[1], unpack(ARGV)) else redis.call('DEL', KEYS[1]) end
return 1
"""


class RedisOnlineStoreConfig(feast_redis.RedisOnlineStoreConfig):
    """Feast's options for Redis, and two of ours.

    connection_string: Feast's `host:port,db=0,password=...`, a redis://, rediss:// or unix:// URL, or `auto`:
    $TRUEUP_REDIS_URL, else a server of the repository's own. now: an instant that stands in for the wall
    clock when TTLs are applied, for data that ended in the past; a live repository leaves it out.
    """

    type: StrictStr = "trueup.stores.redis_online.RedisOnlineStore"
    now: datetime | None = None

    @field_validator("now", mode="before")
    @classmethod
    def _aware(cls, value: Any) -> Any:
        if isinstance(value, str):
            return parse_instant(value, field="online_store.now")
        return as_utc(value) if isinstance(value, datetime) else value


class RedisOnlineStore(feast_redis.RedisOnlineStore):
    """See the module. Use one instance from as many threads and event loops as you like."""

    def __init__(self) -> None:
        super().__init__()
        self._client: Any = None
        self._repo_path: Path | None = None
        # A connection belongs to the loop it was opened on, and a store may see several.
        self._async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = WeakKeyDictionary()

    # Connecting ------------------------------------------------------------------------------------------------------

    def client(self, config: RepoConfig) -> Any:
        """The redis-py client of a repository, made once. Raises StoreError."""
        self._repo_path = config.repo_path
        return self._get_client(config.online_store)

    async def client_async(self, config: RepoConfig) -> Any:
        """The asyncio client of a repository for the running event loop. Close it with `close`."""
        self._repo_path = config.repo_path
        return await self._get_client_async(config.online_store)

    @override
    def _get_client(self, online_store_config: Any) -> Any:
        if self._client is None:
            if online_store_config.redis_type == feast_redis.RedisType.redis:
                self._client = connect(online_store_config.connection_string, repo_path=self._repo_path)
            else:
                with store_errors(None):
                    super()._get_client(online_store_config)
        return self._client

    @override
    async def _get_client_async(self, online_store_config: Any) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            if online_store_config.redis_type == feast_redis.RedisType.redis:
                client = connect_async(online_store_config.connection_string, repo_path=self._repo_path)
            else:
                self._client_async = None
                with store_errors(None):
                    client = await super()._get_client_async(online_store_config)
            self._async_clients[loop] = client
        return self._async_clients[loop]

    @override
    async def initialize(self, config: RepoConfig) -> None:
        """Connect on the running event loop."""
        await self.client_async(config)

    @override
    async def close(self) -> None:
        """Close what this event loop opened."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    # Writing ---------------------------------------------------------------------------------------------------------

    @override
    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows; of one key the latest counts, wherever it stands. Naive times are UTC.

        Latest: the event time, then the created time, then the place in `data`. `progress` is told of every
        row once, landed or not. Raises StoreError; what had landed by then stays, and writing again is safe.
        """
        client = self.client(config)
        with store_errors(client):
            for commands, rows in _write_batches(config, table, data, in_cluster=_in_cluster(config)):
                with client.pipeline(transaction=False) as pipe:
                    for command in commands:
                        pipe.execute_command(*command)
                    pipe.execute()
                if progress:
                    progress(rows)

    @override
    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """The same over asyncio."""
        client = await self.client_async(config)
        with store_errors(client):
            for commands, rows in _write_batches(config, table, data, in_cluster=_in_cluster(config)):
                async with client.pipeline(transaction=False) as pipe:
                    for command in commands:
                        pipe.execute_command(*command)
                    await pipe.execute()
                if progress:
                    progress(rows)

    # Reading ---------------------------------------------------------------------------------------------------------

    @override
    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[Any],
        requested_features: Sequence[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """(event time, feature -> value) for each key, in order.

        (None, None) if the view has no row for the key; (event time, None) if its row is older than the TTL.
        A null is an empty Value; a feature that the row never got is left out.
        """
        read = _ViewRead.of(config, table, requested_features)
        keys = [_redis_key(config, key) for key in entity_keys]
        merged = merge_reads([(read.fields, keys)])
        return read.rows(keys, merged.of_group(0, self._send(config, merged)), _now(config))

    @override
    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[Any],
        requested_features: Sequence[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """The same over asyncio."""
        read = _ViewRead.of(config, table, requested_features)
        keys = [_redis_key(config, key) for key in entity_keys]
        merged = merge_reads([(read.fields, keys)])
        return read.rows(keys, merged.of_group(0, await self._send_async(config, merged)), _now(config))

    @override
    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: Any,
        join_key_values: Mapping[str, Sequence[Any]],
        entity_name_to_join_key_map: Mapping[str, str],
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        reads, keys, merged = _plan(config, grouped_refs, join_key_values)
        replies = self._send(config, merged)
        _respond(
            online_features_response,
            reads,
            keys,
            [merged.of_group(group, replies) for group in range(len(reads))],
            _now(config),
            full_feature_names,
            include_feature_view_version_metadata,
        )

    @override
    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: Any,
        join_key_values: Mapping[str, Sequence[Any]],
        entity_name_to_join_key_map: Mapping[str, str],
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        reads, keys, merged = _plan(config, grouped_refs, join_key_values)
        replies = await self._send_async(config, merged)
        _respond(
            online_features_response,
            reads,
            keys,
            [merged.of_group(group, replies) for group in range(len(reads))],
            _now(config),
            full_feature_names,
            include_feature_view_version_metadata,
        )

    @override
    def get_online_features(
        self,
        config: RepoConfig,
        features: Any,
        entity_rows: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """Feast's own, with the features in the order they were asked for (Feast's order changes by process)."""
        response = super().get_online_features(
            config,
            features,
            entity_rows,
            registry,
            project,
            full_feature_names,
            include_feature_view_version_metadata,
        )
        return _in_order(response, features, full_feature_names)

    @override
    async def get_online_features_async(
        self,
        config: RepoConfig,
        features: Any,
        entity_rows: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """The same over asyncio."""
        response = await super().get_online_features_async(
            config,
            features,
            entity_rows,
            registry,
            project,
            full_feature_names,
            include_feature_view_version_metadata,
        )
        return _in_order(response, features, full_feature_names)

    def _send(self, config: RepoConfig, merged: MergedReads) -> Sequence[Reply]:
        if not merged.gets:
            return []
        client = self.client(config)
        with store_errors(client):
            # Feast's own sender: it also speaks `client: glide`.
            return list(self._read_hash_fields(config, [(key, list(fields)) for key, fields in merged.gets]))

    async def _send_async(self, config: RepoConfig, merged: MergedReads) -> Sequence[Reply]:
        if not merged.gets:
            return []
        client = await self.client_async(config)
        with store_errors(client):
            async with client.pipeline(transaction=False) as pipe:
                queue(pipe, merged)
                return list(await pipe.execute())

    # Deleting --------------------------------------------------------------------------------------------------------

    @override
    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Delete the data of views that are gone. Needs no Redis when there are none.

        Raises ContractError when two features that share an entity's hash would share a field in it.
        """
        by_keys: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for table in tables_to_keep:
            view = feast_redis._versioned_fv_name(table, config)
            shared = by_keys.setdefault(tuple(sorted(table.join_keys)), [])
            shared.extend((view, feature.name) for feature in table.features)
        for features in by_keys.values():
            check_collisions(features)
        if config.online_store.full_scan_for_deletion:
            for table in tables_to_delete:
                self.delete_table(config, table)

    @override
    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Delete a view's rows, of this project and no other."""
        view = feast_redis._versioned_fv_name(table, config)
        fields = [time_field(view), *(value_field(view, feature.name) for feature in table.features)]
        self._for_each_key(config, table.join_keys, lambda key: ("EVAL", _DELETE_VIEW, 1, key, *fields))

    @override
    def delete_entity_values(self, config: RepoConfig, join_keys: Sequence[str]) -> None:
        """Delete all that is stored under these join keys, of this project and no other."""
        self._for_each_key(config, join_keys, lambda key: ("DEL", key))

    @override
    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Delete the project's data, and stop the repository's own server if it is on one."""
        for join_keys in sorted({tuple(sorted(table.join_keys)) for table in tables}):
            self.delete_entity_values(config, join_keys)
        if config.repo_path is not None and is_local(config.online_store.connection_string):
            self._client = None
            stop_running(local_directory(config.repo_path))

    def _for_each_key(self, config: RepoConfig, join_keys: Sequence[str], command: Callable[[bytes], Command]) -> None:
        """Send a command for every entity key of these join keys and this project."""
        client = self.client(config)
        prefix = key_prefix(join_keys)
        with store_errors(client):
            found = client.scan_iter(match=scan_pattern(prefix), count=BATCH_ROWS)
            # The pattern is only a coarse sieve: `*prod` would also find the keys of `myprod`.
            ours = (key for key in found if project_of(key, prefix) == config.project)
            while keys := list(islice(ours, BATCH_ROWS)):
                with client.pipeline(transaction=False) as pipe:
                    for key in keys:
                        pipe.execute_command(*command(key))
                    pipe.execute()


def _in_cluster(config: RepoConfig) -> bool:
    return bool(config.online_store.redis_type == feast_redis.RedisType.redis_cluster)


def _now(config: RepoConfig) -> int:
    """Microseconds since 1970."""
    now = config.online_store.now
    return ((utc_now() if now is None else now) - EPOCH) // MICROSECOND


def _redis_key(config: RepoConfig, entity_key: Any) -> bytes:
    key: bytes = serialize_entity_key(entity_key, config.entity_key_serialization_version)
    project: bytes = config.project.encode()
    return key + project


def _write_batches(
    config: RepoConfig, table: FeatureView, data: Iterable[FeastRow], *, in_cluster: bool
) -> Iterator[tuple[list[Command], int]]:
    """Commands to send in one go, and how many of the given rows they settle."""
    view = feast_redis._versioned_fv_name(table, config)
    keep_seconds = config.online_store.key_ttl_seconds
    given = iter(data)
    # One batch is compared with the next by the server, not here.
    while batch := list(islice(given, BATCH_ROWS)):
        rows = newest(
            Row(
                _redis_key(config, key),
                {feature: value.SerializeToString() for feature, value in values.items()},
                event_time,
                created,
            )
            for key, values, event_time, created in batch
        )
        if config.online_store.skip_dedup:
            commands = overwrite(view, rows, keep_seconds=keep_seconds)
        else:
            commands = compare_and_set(view, rows, keep_seconds=keep_seconds, by_hash=not in_cluster)
            if not in_cluster:
                commands = [LOAD, *commands]
        yield commands, len(batch)


@dataclass(frozen=True)
class _ViewRead:
    """What is wanted of one view, and how to read the replies."""

    table: FeatureView
    view: str
    features: tuple[str, ...]
    dtypes: Mapping[str, str]
    ttl: int | None
    """Microseconds; None: never expires."""

    @classmethod
    def of(cls, config: RepoConfig, table: FeatureView, requested: Sequence[str] | None) -> _ViewRead:
        return cls(
            table=table,
            view=feast_redis._versioned_fv_name(table, config),
            features=tuple(requested or [feature.name for feature in table.features]),
            dtypes={feature.name: str(feature.dtype) for feature in table.features},
            ttl=table.ttl // MICROSECOND if getattr(table, "ttl", None) else None,
        )

    @property
    def fields(self) -> tuple[bytes, ...]:
        """The features' fields, then the event time's."""
        return (*(value_field(self.view, feature) for feature in self.features), time_field(self.view))

    def status(self, reply: Reply, now: int) -> Status:
        """Of the row as a whole: PRESENT, MISSING or EXPIRED."""
        written = reply[-1]
        if written is None:
            return Status.MISSING
        if self.ttl is not None and now - decode_time(written) > self.ttl:
            return Status.EXPIRED
        return Status.PRESENT

    def values(self, reply: Reply) -> dict[str, Any]:
        """The values of a row that is there. Raises StoredTypeError."""
        values = {}
        for feature, raw in zip(self.features, reply, strict=False):  # the reply ends with the event time
            if raw is not None:
                there = has_value(raw, self.dtypes.get(feature, ""), f"{self.view}:{feature}")
                values[feature] = Value.FromString(raw) if there else Value()
        return values

    def rows(
        self, keys: Sequence[bytes], replies: Mapping[bytes, Reply], now: int
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        rows: list[tuple[datetime | None, dict[str, Any] | None]] = []
        for key in keys:
            reply = replies[key]
            status = self.status(reply, now)
            written = reply[-1]
            rows.append(
                (
                    None if written is None else instant_of(decode_time(written)),
                    self.values(reply) if status is Status.PRESENT else None,
                )
            )
        return rows


def _plan(
    config: RepoConfig, grouped_refs: Iterable[tuple[FeatureView, Sequence[str]]], columns: Mapping[str, Sequence[Any]]
) -> tuple[list[_ViewRead], list[list[bytes | None]], MergedReads]:
    """Views to read, each one's Redis keys row by row (None: a part of the key is null), and what to send."""
    reads = []
    keys: list[list[bytes | None]] = []
    for table, requested in grouped_refs:
        reads.append(_ViewRead.of(config, table, requested))
        keys.append(_keys(config, table, columns))
    return reads, keys, merge_reads([(read.fields, own) for read, own in zip(reads, keys, strict=True)])


def _keys(config: RepoConfig, table: FeatureView, columns: Mapping[str, Sequence[Any]]) -> list[bytes | None]:
    join_keys = list(table.join_keys)
    renamed = [table.projection.join_key_map.get(name, name) for name in join_keys]
    for name in renamed:
        if name not in columns:
            raise InputError(
                name, f"entity key {name!r} is missing; feature view {table.name} is looked up by {', '.join(renamed)}."
            )
    return [
        None
        if any(value.WhichOneof("val") is None for value in values)
        else _redis_key(config, EntityKey(join_keys=join_keys, entity_values=values))
        for values in zip(*(columns[name] for name in renamed), strict=True)
    ]


_STATUSES: dict[Status, Any] = {
    Status.PRESENT: FieldStatus.PRESENT,
    Status.NULL: FieldStatus.NULL_VALUE,
    Status.MISSING: FieldStatus.NOT_FOUND,
    Status.EXPIRED: FieldStatus.OUTSIDE_MAX_AGE,
}


def _respond(
    response: Any,
    reads: Sequence[_ViewRead],
    keys: Sequence[Sequence[bytes | None]],
    replies: Sequence[Mapping[bytes, Reply]],
    now: int,
    full_feature_names: bool,
    with_versions: bool,
) -> None:
    """Put every view's features into Feast's response, one row per entity row, in order."""
    for read, own, found in zip(reads, keys, replies, strict=True):
        cells = {key: _cells(read, reply, now) for key, reply in found.items()}
        nowhere = [(Value(), FieldStatus.NOT_FOUND, Timestamp())] * len(read.features)
        rows = [nowhere if key is None else cells[key] for key in own]
        projection = read.table.projection
        name = projection.name_to_use()
        response.metadata.feature_names.val.extend(
            f"{name}__{feature}" if full_feature_names else feature for feature in read.features
        )
        for column in range(len(read.features)):
            response.results.append(
                GetOnlineFeaturesResponse.FeatureVector(
                    values=[row[column][0] for row in rows],
                    statuses=[row[column][1] for row in rows],
                    event_timestamps=[row[column][2] for row in rows],
                )
            )
        if with_versions:
            _add_version(response, projection.name_alias or projection.name, read.table)
        present = sum(cell[1] == FieldStatus.PRESENT for row in rows for cell in row)
        _count(read.table.name, present, len(rows) * len(read.features) - present)


def _cells(read: _ViewRead, reply: Reply, now: int) -> list[tuple[Any, Any, Any]]:
    """(value, status, event time) of each feature in one row."""
    status = read.status(reply, now)
    written = Timestamp.FromString(reply[-1]) if reply[-1] is not None else Timestamp()
    if status is not Status.PRESENT:
        return [(Value(), _STATUSES[status], written)] * len(read.features)
    values = read.values(reply)
    cells: list[tuple[Any, Any, Any]] = []
    for feature in read.features:
        value = values.get(feature)
        if value is None:
            cells.append((Value(), FieldStatus.NOT_FOUND, Timestamp()))
        else:
            null = value.WhichOneof("val") is None
            cells.append((value, FieldStatus.NULL_VALUE if null else FieldStatus.PRESENT, written))
    return cells


def _add_version(response: Any, name: str, table: FeatureView) -> None:
    versions = response.metadata.feature_view_metadata
    if name not in [known.name for known in versions]:
        versions.add(name=name, version=getattr(table, "current_version_number", 0) or 0)


def _count(view: str, present: int, absent: int) -> None:
    """Feast's own metric of found and not found values, as its stores keep it."""
    try:
        from feast.metrics import track_feature_statuses  # needs prometheus-client, which is optional in Feast
    except ImportError:
        return
    track_feature_statuses(view, present, absent)


def _in_order(response: OnlineResponse, features: FeatureService | Sequence[str], full: bool) -> OnlineResponse:
    """Entity and request columns first, as they are; then the features as they were asked for."""
    proto = response.proto
    names = list(proto.metadata.feature_names.val)
    if isinstance(features, FeatureService):
        wanted = [
            (projection.name_to_use(), feature.name)
            for projection in features.feature_view_projections
            for feature in projection.features
        ]
    else:
        wanted = [(view, feature) for view, _, feature in (reference.partition(":") for reference in features)]
    places = {f"{view}__{feature}" if full else feature: place for place, (view, feature) in enumerate(wanted)}
    order = sorted(range(len(names)), key=lambda column: places.get(names[column], -1))
    if order != list(range(len(names))):
        results = [
            GetOnlineFeaturesResponse.FeatureVector.FromString(item.SerializeToString()) for item in proto.results
        ]
        del proto.metadata.feature_names.val[:]
        del proto.results[:]
        proto.metadata.feature_names.val.extend(names[column] for column in order)
        proto.results.extend(results[column] for column in order)
    return response
