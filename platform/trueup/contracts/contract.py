"""`FeatureContract`: everything a feature service means, in plain values.

A contract is what training records, serving checks at start and parity recomputes under. It is hashed
part by part, so that a difference names the part. Tags, owners, descriptions and construction times are
not part of it. A view's schedule is recorded but not hashed: it says how fresh values are, not what they
mean (a model carries the schedule it was trained under in its own contract).
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from trueup.contracts.dtypes import arrow_type
from trueup.errors import ContractError
from trueup.hashing import digest
from trueup.instants import Schedule, format_duration, parse_duration
from trueup.wording import changed

FORMAT = 1
"""Version of the JSON form; bump it when a field changes its meaning."""


@dataclass(frozen=True)
class Field:
    """A named column and its Feast type name (`Int64`, `Array(String)`...)."""

    name: str
    dtype: str

    @property
    def arrow(self) -> pa.DataType:
        return arrow_type(self.dtype)


@dataclass(frozen=True)
class JoinKey:
    """One part of a view's entity key.

    name: the join key the view stores it under. request: the column a request or an entity row brings it
    in (differs where a projection maps join keys: origin and destination airports of one view).
    """

    name: str
    dtype: str
    request: str


@dataclass(frozen=True)
class Source:
    """Where a view's rows come from.

    kind: class name of the Feast data source. query: SQL over `tables` (None: the one table itself).
    tables: name -> path (relative paths are relative to the feature repository). `field_mapping`: column
    of the source -> name in the view.
    """

    kind: str
    timestamp_field: str
    created_column: str | None
    query: str | None
    tables: Mapping[str, str]
    field_mapping: Mapping[str, str]

    def column(self, name: str) -> str:
        """The source's column behind a name of the view."""
        for column, mapped in self.field_mapping.items():
            if mapped == name:
                return column
        return name

    def canonical(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "timestamp_field": self.timestamp_field,
            "created_column": self.created_column,
            "query": _normal_text(self.query) if self.query is not None else None,
            "tables": dict(self.tables),
            "field_mapping": dict(self.field_mapping),
        }


@dataclass(frozen=True)
class View:
    """A feature view as one service uses it.

    name: the prefix of its columns in a frame (the projection's alias where it has one). table: the view's
    own name, which the online store's bytes are keyed by. features: the features the service needs of it,
    its on-demand views' inputs included, in the view's order. ttl: None means values never expire.
    """

    name: str
    table: str
    keys: tuple[JoinKey, ...]
    features: tuple[Field, ...]
    ttl: timedelta | None
    source: Source
    schedule: Schedule = field(default_factory=Schedule)

    def canonical(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "keys": [[key.name, key.dtype, key.request] for key in self.keys],
            "features": {feature.name: feature.dtype for feature in self.features},
            "ttl": format_duration(self.ttl) if self.ttl is not None else None,
        }

    @cached_property
    def definition_hash(self) -> str:
        """Hash of what decides the values of this view: its definition and its source."""
        return digest({"view": self.canonical(), "source": self.source.canonical()})

    def column(self, feature: str) -> str:
        return f"{self.name}__{feature}"


@dataclass(frozen=True)
class OnDemand:
    """An on-demand feature view: request-time logic, row by row.

    mode: `python` (dict of lists in and out) or `pandas` (DataFrame in and out). inputs: (view, feature)
    pairs; view is a `View.name`. code: the function's source text without decorators.
    """

    name: str
    mode: str
    inputs: tuple[tuple[str, str], ...]
    request: tuple[Field, ...]
    outputs: tuple[Field, ...]
    code: str

    def canonical(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "inputs": sorted([view, feature] for view, feature in self.inputs),
            "request": {item.name: item.dtype for item in self.request},
            "outputs": {item.name: item.dtype for item in self.outputs},
            "code": _normal_code(self.name, self.code),
        }

    def column(self, feature: str) -> str:
        return f"{self.name}__{feature}"


@dataclass(frozen=True)
class Difference:
    """One part of two contracts that is not the same. `detail` names the first fields that differ."""

    part: str
    detail: str

    def __str__(self) -> str:
        return f"{self.part}: {self.detail}"


@dataclass(frozen=True)
class FeatureContract:
    """A feature service: its ordered features and all that defines them.

    features: (view, feature) in the service's order; view is a `View.name` or an `OnDemand.name`.
    """

    project: str
    service: str
    features: tuple[tuple[str, str], ...]
    views: tuple[View, ...]
    on_demand: tuple[OnDemand, ...] = field(default=())

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the service's features in a frame (`view__feature`), in the service's order."""
        return tuple(f"{view}__{feature}" for view, feature in self.features)

    @cached_property
    def dtypes(self) -> dict[str, str]:
        """Column of a frame -> Feast type name, inputs of on-demand views included."""
        types = {view.column(item.name): item.dtype for view in self.views for item in view.features}
        return types | {view.column(item.name): item.dtype for view in self.on_demand for item in view.outputs}

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema of a frame's values."""
        return pa.schema([(column, arrow_type(self.dtypes[column])) for column in self.columns])

    @cached_property
    def entity_fields(self) -> tuple[Field, ...]:
        """The key columns every request and entity row must bring, each once, in the order of the views."""
        return _unique(Field(key.request, key.dtype) for view in self.views for key in view.keys)

    @cached_property
    def request_fields(self) -> tuple[Field, ...]:
        """The request-time columns the on-demand views need, each once."""
        return _unique(item for view in self.on_demand for item in view.request)

    def view(self, name: str) -> View:
        for view in self.views:
            if view.name == name:
                return view
        raise ContractError(
            f"{self.service}: no feature view {name!r}; it has {', '.join(v.name for v in self.views) or 'none'}."
        )

    @cached_property
    def canonical(self) -> dict[str, dict[str, Any]]:
        """Part name -> what is hashed of it."""
        parts: dict[str, dict[str, Any]] = {
            "service": {"name": self.service, "features": [list(pair) for pair in self.features]}
        }
        for view in self.views:
            parts[f"view {view.name}"] = view.canonical()
            parts[f"source {view.name}"] = view.source.canonical()
        for odfv in self.on_demand:
            parts[f"on_demand {odfv.name}"] = odfv.canonical()
        return parts

    @cached_property
    def parts(self) -> dict[str, str]:
        """Part name -> hash of the part."""
        return {name: digest(part) for name, part in self.canonical.items()}

    @cached_property
    def hash(self) -> str:
        """Hash of all parts; the same for the same definitions on any machine, in any process."""
        return digest(self.parts)

    def diff(self, other: FeatureContract) -> tuple[Difference, ...]:
        """What changes from this contract to `other`; empty when the hashes are equal."""
        names = [*self.parts, *(name for name in other.parts if name not in self.parts)]
        return tuple(
            Difference(name, _part_detail(self.canonical.get(name), other.canonical.get(name)))
            for name in names
            if self.parts.get(name) != other.parts.get(name)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "project": self.project,
            "service": self.service,
            "hash": self.hash,
            "features": [list(pair) for pair in self.features],
            "views": [view_to_json(view) for view in self.views],
            "on_demand": [_on_demand_to_json(view) for view in self.on_demand],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FeatureContract:
        """Raises ContractError when the JSON is of another format or its hash does not fit its content."""
        if data.get("format") != FORMAT:
            raise ContractError(f"contract format {data.get('format')!r} cannot be read; this version reads {FORMAT}.")
        contract = cls(
            project=data["project"],
            service=data["service"],
            features=tuple((view, feature) for view, feature in data["features"]),
            views=tuple(view_from_json(view) for view in data["views"]),
            on_demand=tuple(_on_demand_from_json(view) for view in data["on_demand"]),
        )
        if contract.hash != data["hash"]:
            raise ContractError(
                f"contract of {contract.service}: its content hashes to {contract.hash[:12]}, but it says "
                f"{str(data['hash'])[:12]}. It was edited by hand or damaged; take it from the model again."
            )
        return contract


def _unique(fields: Iterator[Field]) -> tuple[Field, ...]:
    seen: dict[str, Field] = {}
    for item in fields:
        known = seen.setdefault(item.name, item)
        if known.dtype != item.dtype:
            raise ContractError(f"column {item.name!r} is {known.dtype} in one view and {item.dtype} in another.")
    return tuple(seen.values())


def _normal_text(text: str) -> str:
    """Indentation and trailing blanks do not count as a change; everything else does."""
    return "\n".join(line.rstrip() for line in textwrap.dedent(text).strip().splitlines())


def _normal_code(name: str, code: str) -> str:
    """The syntax tree without decorators and docstring: comments and layout do not count as a change."""
    try:
        tree = ast.parse(textwrap.dedent(code))
    except SyntaxError as error:
        raise ContractError(f"on-demand view {name}: its function's source cannot be parsed: {error}.") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree, include_attributes=False)


def _part_detail(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None:
        return "added"
    if after is None:
        return "removed"
    changes = [
        f"{key} {changed(str(before.get(key)), str(after.get(key)))}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    return "; ".join(changes)


def _field_pairs(fields: tuple[Field, ...]) -> list[list[str]]:
    return [[item.name, item.dtype] for item in fields]


def _fields(pairs: list[list[str]]) -> tuple[Field, ...]:
    return tuple(Field(name, dtype) for name, dtype in pairs)


def view_to_json(view: View) -> dict[str, Any]:
    """A view as a contract's JSON has it; `view_from_json` reads it back."""
    return {
        "name": view.name,
        "table": view.table,
        "keys": [[key.name, key.dtype, key.request] for key in view.keys],
        "features": _field_pairs(view.features),
        "ttl": format_duration(view.ttl) if view.ttl is not None else None,
        "schedule": {
            "cadence": format_duration(view.schedule.cadence),
            "delay": format_duration(view.schedule.delay),
        },
        "source": {**view.source.canonical(), "query": view.source.query},
    }


def view_from_json(data: Mapping[str, Any]) -> View:
    source = data["source"]
    return View(
        name=data["name"],
        table=data["table"],
        keys=tuple(JoinKey(name, dtype, request) for name, dtype, request in data["keys"]),
        features=_fields(data["features"]),
        ttl=parse_duration(data["ttl"]) if data["ttl"] is not None else None,
        source=Source(
            kind=source["kind"],
            timestamp_field=source["timestamp_field"],
            created_column=source["created_column"],
            query=source["query"],
            tables=source["tables"],
            field_mapping=source["field_mapping"],
        ),
        schedule=Schedule(
            cadence=parse_duration(data["schedule"]["cadence"]),
            delay=parse_duration(data["schedule"]["delay"]),
        ),
    )


def _on_demand_to_json(view: OnDemand) -> dict[str, Any]:
    return {
        "name": view.name,
        "mode": view.mode,
        "inputs": [list(pair) for pair in view.inputs],
        "request": _field_pairs(view.request),
        "outputs": _field_pairs(view.outputs),
        "code": view.code,
    }


def _on_demand_from_json(data: Mapping[str, Any]) -> OnDemand:
    return OnDemand(
        name=data["name"],
        mode=data["mode"],
        inputs=tuple((view, feature) for view, feature in data["inputs"]),
        request=_fields(data["request"]),
        outputs=_fields(data["outputs"]),
        code=data["code"],
    )
