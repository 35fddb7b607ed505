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
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores import redis as feast_redis
from feast.online_response import OnlineResponse
from pydantic import StrictStr, field_validator
from typing_extensions import override

from trueup.instants import as_utc, parse_instant
from trueup.stores.entity_key import key_prefix, project_of
from trueup.stores.local_redis import stop_running
from trueup.stores.online_response import in_order, respond
from trueup.stores.redis_connection import (
    AsyncClient,
    connect,
    connect_async,
    is_local,
    local_directory,
    store_errors,
)
from trueup.stores.redis_layout import check_collisions, scan_pattern, time_field, value_field
from trueup.stores.redis_read import MergedReads, Reply, merge_reads, queue
from trueup.stores.redis_views import ViewRead, now_of, plan_reads, redis_key
from trueup.stores.redis_write import BATCH_ROWS, LOAD, Command, Row, compare_and_set, newest, overwrite

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
        read = ViewRead.of(config, table, requested_features)
        keys = [redis_key(config, key) for key in entity_keys]
        merged = merge_reads([(read.fields, keys)])
        return read.rows(keys, merged.of_group(0, self._send(config, merged)), now_of(config))

    @override
    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[Any],
        requested_features: Sequence[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """The same over asyncio."""
        read = ViewRead.of(config, table, requested_features)
        keys = [redis_key(config, key) for key in entity_keys]
        merged = merge_reads([(read.fields, keys)])
        return read.rows(keys, merged.of_group(0, await self._send_async(config, merged)), now_of(config))

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
        reads, keys, merged = plan_reads(config, grouped_refs, join_key_values)
        replies = self._send(config, merged)
        respond(
            online_features_response,
            reads,
            keys,
            [merged.of_group(group, replies) for group in range(len(reads))],
            now_of(config),
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
        reads, keys, merged = plan_reads(config, grouped_refs, join_key_values)
        replies = await self._send_async(config, merged)
        respond(
            online_features_response,
            reads,
            keys,
            [merged.of_group(group, replies) for group in range(len(reads))],
            now_of(config),
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
        return in_order(response, features, full_feature_names)

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
        return in_order(response, features, full_feature_names)

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
                redis_key(config, key),
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
