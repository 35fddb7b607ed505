"""What a read of a feature view asks Redis for, and what the replies say. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores import redis as feast_redis
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from trueup.errors import InputError
from trueup.frame import Status
from trueup.instants import EPOCH, utc_now
from trueup.stores.redis_layout import decode_time, instant_of, time_field, value_field
from trueup.stores.redis_read import MergedReads, Reply, merge_reads
from trueup.stores.value_types import has_value

MICROSECOND = timedelta(microseconds=1)


def now_of(config: RepoConfig) -> int:
    """Microseconds since 1970."""
    now = config.online_store.now
    return ((utc_now() if now is None else now) - EPOCH) // MICROSECOND


def redis_key(config: RepoConfig, entity_key: Any) -> bytes:
    key: bytes = serialize_entity_key(entity_key, config.entity_key_serialization_version)
    project: bytes = config.project.encode()
    return key + project


@dataclass(frozen=True)
class ViewRead:
    """What is wanted of one view, and how to read the replies."""

    table: FeatureView
    view: str
    features: tuple[str, ...]
    dtypes: Mapping[str, str]
    ttl: int | None
    """Microseconds; None: never expires."""

    @classmethod
    def of(cls, config: RepoConfig, table: FeatureView, requested: Sequence[str] | None) -> ViewRead:
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


def plan_reads(
    config: RepoConfig, grouped_refs: Iterable[tuple[FeatureView, Sequence[str]]], columns: Mapping[str, Sequence[Any]]
) -> tuple[list[ViewRead], list[list[bytes | None]], MergedReads]:
    """Views to read, each one's Redis keys row by row (None: a part of the key is null), and what to send."""
    reads = []
    keys: list[list[bytes | None]] = []
    for table, requested in grouped_refs:
        reads.append(ViewRead.of(config, table, requested))
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
        else redis_key(config, EntityKey(join_keys=join_keys, entity_values=values))
        for values in zip(*(columns[name] for name in renamed), strict=True)
    ]
