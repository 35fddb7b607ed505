"""Faults of an online store: bytes in Redis that no honest writer would have left there. Shares no code with trueup.

Each injector picks its victims among the rows of the served log (the share `rate` of all that the fault can befall, at
least one), writes Redis by hand, and says which served rows read what it wrote. `Injection.undo` puts every touched key
back, byte for byte.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import redis
from tests.faults import documents, wire
from tests.faults.cells import MISSING, NULL, PRESENT, Ints
from tests.faults.site import ViewSpec

HOUR = 3_600_000_000
Key = tuple[Any, ...]
Hash = Mapping[bytes, bytes]


@dataclass(frozen=True)
class SourceRow:
    """A row of a source: event and created time in microseconds, values by feature as Python has them."""

    event: int
    created: int
    values: Mapping[str, Any]


@dataclass
class Scene:
    """What injectors see of a world.

    base: served rows, clean. before: every hash as it stood before the last run. stored: key -> view -> the event times
    the store held after any run. history: view -> entity -> its rows in the source. began, landed_by: microseconds; the
    starts of the first and of the last run.
    """

    project: str
    views: tuple[ViewSpec, ...]
    base: pa.Table
    client: redis.Redis
    before: Mapping[bytes, Hash]
    stored: Mapping[bytes, Mapping[str, set[int]]]
    history: Mapping[str, Mapping[Key, list[SourceRow]]]
    began: int
    landed_by: int
    rows_of: dict[str, dict[Key, Ints]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.instants = np.asarray(
            self.base.column("__log_timestamp").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        )
        for view in self.views:
            columns = [self.base.column(request).to_pylist() for _, _, request in view.keys]
            rows: dict[Key, list[int]] = {}
            for row, key in enumerate(zip(*columns, strict=True)):
                if None not in key:
                    rows.setdefault(key, []).append(row)
            self.rows_of[view.name] = {key: np.array(found) for key, found in rows.items()}

    def key(self, view: ViewSpec, entity: Key) -> bytes:
        parts = [(name, dtype, value) for (name, dtype, _), value in zip(view.keys, entity, strict=True)]
        return wire.entity_key(self.project, parts)

    def statuses(self, view: ViewSpec, feature: str) -> np.ndarray:
        return np.asarray(self.base.column(f"{view.column(feature)}__status").to_numpy()).astype(np.int64)

    def entities(self, view: ViewSpec, status: int) -> list[Key]:
        """Entities whose first feature had this status in every served row of theirs (NULL counts as PRESENT)."""
        found = self.statuses(view, next(iter(view.features)))
        if status == PRESENT:
            found = np.where(found == NULL, PRESENT, found)
        return [entity for entity, rows in self.rows_of[view.name].items() if (found[rows] == status).all()]

    def fields(self, view: ViewSpec) -> list[bytes]:
        return [wire.time_field(view.table), *(wire.value_field(view.table, feature) for feature in view.features)]

    def part(self, view: ViewSpec, hash_: Hash) -> dict[bytes, bytes]:
        """A view's fields of a hash."""
        return {name: hash_[name] for name in self.fields(view) if name in hash_}


@dataclass
class Injection:
    """rows: served rows, ascending, that read something else now. eligible: victims there could have been.

    skew: microseconds that the server's clock is ahead when it serves them. before: touched hashes as they were.
    """

    rows: Ints
    eligible: int
    chosen: int
    undo: Callable[[], None] = lambda: None
    skew: int = 0
    before: Mapping[bytes, Hash] = field(default_factory=dict)


class Writer:
    """Writes to Redis and remembers what was there."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.saved: dict[bytes, dict[bytes, bytes]] = {}
        self.rows: set[int] = set()

    def read(self, key: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self.client.hgetall(key)
        return found

    def write(self, key: bytes, fields: Hash, rows: Ints) -> None:
        self.saved.setdefault(key, self.read(key))
        self.client.hset(key, mapping=dict(fields))
        self.rows.update(rows.tolist())

    def delete(self, key: bytes, fields: list[bytes], rows: Ints) -> None:
        self.saved.setdefault(key, self.read(key))
        self.client.hdel(key, *fields)
        self.rows.update(rows.tolist())

    def undo(self) -> None:
        for key, fields in self.saved.items():
            self.client.delete(key)
            if fields:
                self.client.hset(key, mapping=fields)

    def injection(self, eligible: int, chosen: int, skew: int = 0) -> Injection:
        return Injection(np.array(sorted(self.rows), np.int64), eligible, chosen, self.undo, skew, self.saved)


RARE = 0.01
"""Share of a view's rows that others have just so."""
TRIES = 50
"""Other entities that are looked at for one whose row tells whose it is."""


def pick(random: np.random.Generator, candidates: list[Any], rate: float) -> list[Any]:
    """The share `rate` of the candidates, at least one, in their order."""
    if not candidates:
        return []
    count = max(1, round(rate * len(candidates)))
    return [candidates[i] for i in sorted(random.choice(len(candidates), count, replace=False))]


def missed_materialization(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """A failover to a replica that had not seen the last run: rows are as they were before it. Not such as the run
    corrected at their own event time: a store that refuses corrections would look the same."""
    writer, candidates = Writer(scene.client), []
    for view in scene.views:
        for entity in scene.entities(view, PRESENT):
            key = scene.key(view, entity)
            old, new = scene.part(view, scene.before.get(key, {})), scene.part(view, writer.read(key))
            time = wire.time_field(view.table)
            if old and old.get(time) != new.get(time):
                candidates.append((view, entity, key, old))
    chosen = pick(random, candidates, rate)
    for view, entity, key, old in chosen:
        writer.delete(key, scene.fields(view), scene.rows_of[view.name][entity])
        writer.write(key, old, scene.rows_of[view.name][entity])
    return writer.injection(len(candidates), len(chosen))


def missing_online(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """Rows evicted. Only such as stood there before the last run: else the last run missing would look the same."""
    writer = Writer(scene.client)
    candidates = [
        (view, entity)
        for view in scene.views
        for entity in scene.entities(view, PRESENT)
        if scene.part(view, scene.before.get(scene.key(view, entity), {}))
    ]
    chosen = pick(random, candidates, rate)
    for view, entity in chosen:
        writer.delete(scene.key(view, entity), scene.fields(view), scene.rows_of[view.name][entity])
    return writer.injection(len(candidates), len(chosen))


def missing_offline(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """Rows pushed, after the last run, for entities that no source has ever had."""
    writer = Writer(scene.client)
    candidates = [
        (view, entity)
        for view in scene.views
        if view.name in scene.history
        for entity in scene.entities(view, MISSING)
        if entity not in scene.history[view.name]
    ]
    chosen = pick(random, candidates, rate)
    for view, entity in chosen:
        fields = {
            wire.value_field(view.table, feature): wire.encode(dtype, other_value(dtype, None, random))
            for feature, dtype in view.features.items()
        }
        fields[wire.time_field(view.table)] = wire.timestamp(int(scene.instants.min()) - 30_000_000)
        writer.write(scene.key(view, entity), fields, scene.rows_of[view.name][entity])
    return writer.injection(len(candidates), len(chosen))


def stale_overwrite(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """A slow writer: an older row of the source over the newer one. Only rows that no run left in the store, and that
    became known after the ledger began, since otherwise runs that were missed would look the same."""
    writer, candidates = Writer(scene.client), []
    for view in scene.views:
        for entity in scene.entities(view, PRESENT):
            key = scene.key(view, entity)
            current = scene.part(view, writer.read(key)).get(wire.time_field(view.table))
            if current is None:
                continue
            seen = scene.stored.get(key, {}).get(view.table, set())
            now = wire.read_timestamp(current)
            older = [
                row
                for row in scene.history.get(view.name, {}).get(entity, [])
                if row.event < now
                and scene.began < row.event
                and row.created <= scene.landed_by
                and row.event not in seen
            ]
            if older:
                candidates.append((view, entity, key, older[-1]))
    chosen = pick(random, candidates, rate)
    for view, entity, key, row in chosen:
        writer.write(key, encoded(view, row), scene.rows_of[view.name][entity])
    return writer.injection(len(candidates), len(chosen))


def swapped_entity(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """The row of another entity, as a join on the wrong column writes it.

    Not a row that tells nobody whose it is: that differs from the entity's own in one field alone, or that is of
    another event time and may be one of the entity's own: because it has had one of that time, or because others have
    the same values, or rows of the view often are equal but for their event times.
    """
    writer = Writer(scene.client)
    candidates: list[tuple[ViewSpec, Key]] = []
    contents: dict[str, dict[Key, dict[bytes, bytes]]] = {}
    rare: dict[str, set[tuple[bytes | None, ...]]] = {}
    for view in scene.views:
        entities = scene.entities(view, PRESENT)
        candidates += [(view, entity) for entity in entities]
        contents[view.name] = {key: scene.part(view, writer.read(scene.key(view, key))) for key in entities}
        values = Counter(_values(view, fields) for fields in contents[view.name].values())
        equal = sum(number for number in values.values() if number > 1)
        once = {found for found, number in values.items() if number == 1}
        rare[view.name] = once if equal <= RARE * len(entities) else set()

    def tells(view: ViewSpec, entity: Key, fields: dict[bytes, bytes]) -> bool:
        own, time = contents[view.name][entity], wire.time_field(view.table)
        if sum(own.get(name) != fields.get(name) for name in own.keys() | fields.keys()) < 2:
            return False
        had = scene.stored.get(scene.key(view, entity), {}).get(view.table, set())
        if own[time] == fields[time]:
            return True
        return _values(view, fields) in rare[view.name] and wire.read_timestamp(fields[time]) not in had

    written: list[tuple[ViewSpec, Key, dict[bytes, bytes]]] = []
    for view, entity in pick(random, candidates, rate):
        others = [key for key in contents[view.name] if key != entity]
        for place in random.permutation(len(others))[:TRIES].tolist():
            fields = contents[view.name][others[place]]
            if tells(view, entity, fields):
                written.append((view, entity, fields))
                break
    for view, entity, fields in written:
        rows = scene.rows_of[view.name][entity]
        writer.delete(scene.key(view, entity), scene.fields(view), rows)
        writer.write(scene.key(view, entity), fields, rows)
    return writer.injection(len(candidates), len(written))


def _values(view: ViewSpec, fields: Hash) -> tuple[bytes | None, ...]:
    return tuple(fields.get(wire.value_field(view.table, feature)) for feature in view.features)


def serving_fallback(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """An empty store for a moment: whole rows are answered without any stored feature."""
    writer = Writer(scene.client)
    present = np.zeros(scene.base.num_rows, np.int64)
    for view in scene.views:
        found = scene.statuses(view, next(iter(view.features)))
        present += (found == PRESENT) | (found == NULL)
    candidates = np.flatnonzero(present >= 2).tolist()
    chosen = pick(random, candidates, rate)
    for row in chosen:
        for view in scene.views:
            entity = tuple(scene.base.column(request)[row].as_py() for _, _, request in view.keys)
            if None not in entity:
                writer.delete(scene.key(view, entity), scene.fields(view), np.array([row]))
    return writer.injection(len(candidates), len(chosen))


def shifted_rows(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """Naive New York timestamps taken for UTC: instants come out five hours early, the values or the rows' own as
    well."""
    writer, candidates = Writer(scene.client), []
    shift = 5 * HOUR
    for view in scene.views:
        times = [feature for feature, dtype in view.features.items() if dtype == "UnixTimestamp"]
        for entity in scene.entities(view, PRESENT):
            key = scene.key(view, entity)
            part = scene.part(view, writer.read(key))
            event = wire.read_timestamp(part[wire.time_field(view.table)])
            newest = int(scene.instants[scene.rows_of[view.name][entity]].max())
            expires = view.ttl is not None and newest - (event - shift) > view.ttl
            if expires or any(part.get(wire.value_field(view.table, name)) for name in times):
                candidates.append((view, entity, key, part, event, times))
    chosen = pick(random, candidates, rate)
    for number, (view, entity, key, part, event, times) in enumerate(chosen):
        rows = scene.rows_of[view.name][entity]
        fields = {} if times and number % 2 else {wire.time_field(view.table): wire.timestamp(event - shift)}
        for name in times:
            raw = part.get(wire.value_field(view.table, name), b"")
            if raw:
                seconds = int(scene.base.column(view.column(name))[int(rows[0])].as_py().timestamp())
                fields[wire.value_field(view.table, name)] = wire.encode("UnixTimestamp", seconds - shift // 1_000_000)
        if fields:
            writer.write(key, fields, rows)
    return writer.injection(len(candidates), len(chosen))


def skewed_clock(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
    """The server's clock is seven hours ahead: rows it should use have expired for it."""
    usable = np.zeros(scene.base.num_rows, np.bool_)
    skew = 7 * HOUR
    for view in scene.views:
        if view.ttl is None:
            continue
        times = scene.base.column(f"__event_timestamp__{view.name}").cast(pa.timestamp("us", tz="UTC"))
        age = scene.instants - np.asarray(times.cast(pa.int64()).fill_null(0))
        found = scene.statuses(view, next(iter(view.features)))
        usable |= ((found == PRESENT) | (found == NULL)) & (age + skew > view.ttl)
    candidates = np.flatnonzero(usable).tolist()
    chosen = pick(random, candidates, rate)
    return Injection(np.array(chosen, np.int64), len(candidates), len(chosen), skew=skew)


Change = Callable[[str, Any, np.random.Generator], Any]
UNCHANGED = object()


def cell_fault(change: Change, status: int = PRESENT) -> Callable[[Scene, np.random.Generator, float], Injection]:
    """A fault that befalls one value: `change(dtype, value, random)` is what is stored instead, or UNCHANGED."""

    def inject(scene: Scene, random: np.random.Generator, rate: float) -> Injection:
        writer, candidates = Writer(scene.client), []
        for view in scene.views:
            for feature, dtype in view.features.items():
                if feature not in scene_features(scene, view):
                    continue
                statuses = scene.statuses(view, feature)
                values = scene.base.column(view.column(feature)).to_pylist()
                for entity, rows in scene.rows_of[view.name].items():
                    if (statuses[rows] == status).all():
                        new = change(dtype, plain(dtype, values[int(rows[0])]), random)
                        if new is not UNCHANGED:
                            candidates.append((view, entity, feature, dtype, new))
        chosen = pick(random, candidates, rate)
        for view, entity, feature, dtype, new in chosen:
            writer.write(
                scene.key(view, entity),
                {wire.value_field(view.table, feature): wire.encode(dtype, new)},
                scene.rows_of[view.name][entity],
            )
        return writer.injection(len(candidates), len(chosen))

    return inject


def scene_features(scene: Scene, view: ViewSpec) -> set[str]:
    return {feature for feature in view.features if view.column(feature) in scene.base.column_names}


def plain(dtype: str, value: Any) -> Any:
    """Instants as whole seconds, as they are stored, and documents as what they say."""
    if value is None:
        return None
    if documents.is_document(dtype):
        return documents.parsed(value)
    if dtype == "UnixTimestamp":
        return int(value.timestamp())
    if dtype.endswith("(UnixTimestamp)"):
        return [int(item.timestamp()) for item in value]
    return value


def null_as_default(dtype: str, value: Any, _random: np.random.Generator) -> Any:
    return _DEFAULTS.get(dtype.partition("(")[0], UNCHANGED)


_DEFAULTS: Mapping[str, Any] = {
    "Int32": 0,
    "Int64": 0,
    "Float32": 0.0,
    "Float64": 0.0,
    "Bool": False,
    "String": "",
    "Bytes": b"",
    "PdfBytes": b"",
    "ImageBytes": b"",
    "Uuid": "",
    "TimeUuid": "",
    "Decimal": "0.00",
    "Array": [],
    "Map": {},
    "Struct": {},
}


def as_float32(dtype: str, value: Any, _random: np.random.Generator) -> Any:
    if dtype == "Float64":
        new = _narrow(value)
        return UNCHANGED if new == value or value != value else new
    if dtype in ("Array(Float64)", "Set(Float64)"):
        items = [_narrow(item) for item in value]
        return UNCHANGED if items == value else items
    return UNCHANGED


def through_float(dtype: str, value: Any, _random: np.random.Generator) -> Any:
    return UNCHANGED if dtype != "Int64" or int(float(value)) == value else int(float(value))


def bit_flip(dtype: str, value: Any, random: np.random.Generator) -> Any:
    """One bit of the value, or of one within it, turned over."""
    if documents.is_document(dtype) or dtype == "Json":
        new = documents.bit_turned(documents.parsed(value))
        return UNCHANGED if new is None else json.dumps(new) if dtype == "Json" else new
    if "(" in dtype:
        item = dtype.partition("(")[2][:-1]
        new = bit_flip(item, value[-1], random) if value else UNCHANGED
        return new if new is UNCHANGED else [*value[:-1], new]
    if dtype in ("Float64", "Float32"):
        layout = "<d" if dtype == "Float64" else "<f"
        raw = bytearray(struct.pack(layout, value))
        raw[int(random.integers(0, len(raw)))] ^= 1 << int(random.integers(0, 8))
        return struct.unpack(layout, raw)[0]
    if dtype in ("Int32", "Int64"):
        return int(value) ^ (1 << int(random.integers(0, 31)))
    if dtype.endswith("Uuid"):
        return f"{value[:-1]}{int(value[-1], 16) ^ 1:x}"
    if dtype in ("String", "Decimal") and value.isascii() and value:
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    if dtype.endswith("Bytes") and value:
        return value[:-1] + bytes([value[-1] ^ 1 << int(random.integers(0, 8))])
    return UNCHANGED


def _narrow(value: float) -> float:
    if value != value or abs(value) > 3.4e38:
        return value
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def other_value(dtype: str, value: Any, random: np.random.Generator) -> Any:
    """A value of the type that is not `value` (as `plain` gives it)."""
    while True:
        new = _some_value(dtype, random)
        if new != value:
            return new


def _some_value(dtype: str, random: np.random.Generator) -> Any:
    if documents.is_document(dtype):
        return documents.some(dtype, random)
    if "(" in dtype:
        items = [_some_value(dtype.partition("(")[2][:-1], random) for _ in range(int(random.integers(1, 4)))]
        return sorted(set(items)) if dtype.startswith("Set") and not isinstance(items[0], list) else items
    number = int(random.integers(1, 2**31 - 1))
    if dtype in ("Int32", "Int64", "UnixTimestamp"):
        return number
    if dtype == "Float32":
        return float(number % 4096) / 8
    if dtype == "Float64":
        return float(random.normal(0, 1000))
    if dtype == "Bool":
        return number % 2 == 0
    if dtype.endswith("Bytes"):
        return number.to_bytes(4, "little")
    if dtype == "Decimal":
        return f"{number // 1000}.{number % 1000:03d}"
    if dtype == "Json":
        return f'{{"n": {number}}}'
    if dtype in ("Uuid", "TimeUuid"):
        return f"{number:08x}-0000-4000-8000-{number:012x}"
    return f"other {number}"


def encoded(view: ViewSpec, row: SourceRow) -> dict[bytes, bytes]:
    """A source row as its fields in Redis. NaN is null."""
    fields = {
        wire.value_field(view.table, feature): wire.encode(dtype, None if value != value else plain(dtype, value))
        for feature, dtype in view.features.items()
        for value in [row.values[feature]]
    }
    return {wire.time_field(view.table): wire.timestamp(row.event), **fields}
