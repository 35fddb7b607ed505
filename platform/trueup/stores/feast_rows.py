"""Any online store through Feast's public API, and the fast way for the stores that have one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from trueup.contracts.contract import View
from trueup.errors import StoreError, TrueupError
from trueup.frame import Status
from trueup.stores.entity_key import DUMMY_KEY, KEY_FORMAT
from trueup.stores.key_columns import ScannedKeys
from trueup.stores.online_read import OnlineRows, StoredRows, stored_rows
from trueup.stores.query_source import repo_dir
from trueup.stores.redis_connection import connect
from trueup.stores.redis_rows import RedisRows
from trueup.stores.sqlite_rows import SqliteRows
from trueup.stores.value_columns import NO_TIME, Raws

if TYPE_CHECKING:
    from feast import FeatureStore, RepoConfig

BATCH_ROWS = 1_000


def open_store(repo: Path) -> FeatureStore:
    """The Feast repository in this folder. Raises StoreError that says what Feast has against it."""
    from feast import FeatureStore

    try:
        return FeatureStore(repo_path=str(repo))
    except TrueupError:
        raise
    except Exception as error:
        raise StoreError(
            f"Feast cannot open the repository {repo}: {type(error).__name__}: {_first_line(error)}",
            hint="Mend feature_store.yaml; `feast apply` must run on it first.",
        ) from error


def online_rows_of(store: FeatureStore) -> OnlineRows:
    """How the online store of a repository is read in bulk: its bytes where they are known, else Feast's API.

    Raises StoreError when it cannot be connected to as configured.
    """
    from feast.infra.online_stores.helpers import compute_versioned_name
    from feast.infra.online_stores.redis import RedisOnlineStoreConfig, RedisType
    from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig

    from trueup.stores.redis_online import RedisOnlineStoreConfig as OurRedisConfig

    config: Any = store.config.online_store
    if config is None:
        raise StoreError("this repository has no online store, so there is nothing to check.", hint="Configure one.")
    versioned = bool(getattr(store.config.registry, "enable_online_feature_view_versioning", False))
    every = [*store.list_feature_views(), *store.list_stream_feature_views()]
    names = {view.name: compute_versioned_name(view, versioned) for view in every}
    ours = isinstance(config, OurRedisConfig)
    now = config.now if ours else None
    if store.config.entity_key_serialization_version != KEY_FORMAT:
        why = f"entity_key_serialization_version is not {KEY_FORMAT}"
    elif isinstance(config, RedisOnlineStoreConfig):
        if config.redis_type == RedisType.redis:
            client = connect(config.connection_string, repo_path=repo_dir(store.config))
            return RedisRows(client, applies_ttl=ours, names=names, now=now)
        why = f"{config.redis_type.value} has no fast path"
    elif isinstance(config, SqliteOnlineStoreConfig) and config.type.endswith(("sqlite", ".SqliteOnlineStore")):
        return SqliteRows(repo_dir(store.config) / Path(config.path), names=names)
    else:
        why = f"{config.type} has no fast path"
    return FeastRows(store, why, applies_ttl=ours, now=now)


@dataclass(frozen=True)
class FeastRows(OnlineRows):
    """`OnlineRows` of whatever store Feast reads, by `get_online_features`. why: it is read so.

    It cannot list what the store holds. Feast applies no TTL, unless the store itself does (trueup's in a cluster); its
    statuses are not to be trusted (Redis calls a missing entity PRESENT, at 1970): a null value without an event time
    is MISSING here.
    """

    store: FeatureStore
    why: str
    now: datetime | None = None
    applies_ttl: bool = False
    lists: bool = False
    whole_seconds: bool = False

    @property
    @override
    def describe(self) -> str:
        return f"{self.store.config.online_store.type} through Feast's get_online_features ({self.why})"

    @override
    def reach(self) -> None:
        """Nothing: a store that cannot be reached says so at the first read."""

    @override
    def refuses(self, project: str, views: Sequence[View]) -> Mapping[str, str]:
        return {}

    @override
    def read(
        self, project: str, views: Sequence[View], rows: pa.Table, keys: Sequence[bytes], now: datetime
    ) -> list[StoredRows]:
        references = [f"{view.table}:{item.name}" for view in views for item in view.features]
        names = [f"{view.table}__{item.name}" for view in views for item in view.features]
        columns: dict[str, list[bytes | None]] = {name: [] for name in names}
        times: dict[str, list[int]] = {name: [] for name in names}
        for start in range(0, rows.num_rows, BATCH_ROWS):
            part = rows.slice(start, BATCH_ROWS)
            entities: dict[str, list[Any]] = {item.name: part.column(item.name).to_pylist() for item in views[0].keys}
            answer = self._ask(references, entities or {DUMMY_KEY[0]: [""] * part.num_rows})
            places = {name: place for place, name in enumerate(answer.metadata.feature_names.val)}
            for name in names:
                vector = answer.results[places[name]]
                for value, status, event in zip(vector.values, vector.statuses, vector.event_timestamps, strict=True):
                    raw, time, there = _cell(value, status, event)
                    columns[name].append(raw if there else None)
                    times[name].append(time if there else NO_TIME)
        found = []
        for view in views:
            own = [f"{view.table}__{item.name}" for item in view.features]
            latest = np.max([np.array(times[name], np.int64) for name in own], axis=0)
            ttl_from = now if self.applies_ttl else None
            found.append(stored_rows(view, latest, [Raws.of(columns[name]) for name in own], ttl_from=ttl_from))
        return found

    @override
    def scan(self, project: str, views: Sequence[View]) -> Iterator[ScannedKeys]:
        """Nothing: Feast's API cannot list."""
        return iter(())

    def _ask(self, references: Sequence[str], entities: Mapping[str, Sequence[Any]]) -> Any:
        try:
            response = self.store.get_online_features(
                features=list(references), entity_rows=entities, full_feature_names=True
            )
        except TrueupError:
            raise
        except Exception as error:  # a store of anybody's may raise anything
            raise StoreError(
                f"the online store cannot be read through Feast: {type(error).__name__}: {_first_line(error)}",
                hint="Check `online_store` in feature_store.yaml, and that `feast apply` has run.",
            ) from error
        return response.proto


def _cell(value: Any, status: int, event: Any) -> tuple[bytes, int, bool]:
    """Raw value, event time, and whether there is a row at all. status: Feast's `FieldStatus`."""
    raw: bytes = value.SerializeToString()
    time = event.seconds * 1_000_000 + event.nanos // 1000
    nowhere = status == Status.MISSING or (not raw and time == 0)
    return raw, time, not nowhere


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def has_declared_types(config: RepoConfig) -> bool:
    """Whether history is read as the declared types: by trueup's offline store it is, by Feast's own it is not."""
    kind = config.offline_config
    name = str(kind.get("type", "")) if isinstance(kind, dict) else str(getattr(kind, "type", kind))
    return name.startswith("trueup.")
