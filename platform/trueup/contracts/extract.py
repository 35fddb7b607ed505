"""Feast objects to contracts. The only file of this floor that knows Feast.

Reads definitions, never data: extracting a contract touches the registry and nothing else.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from trueup.contracts.contract import FeatureContract, Field, JoinKey, OnDemand, Source, View
from trueup.errors import ContractError
from trueup.instants import Schedule, parse_duration

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore, FeatureView, OnDemandFeatureView
    from feast.data_source import DataSource
    from feast.feature_view_projection import FeatureViewProjection

CADENCE_TAG = "trueup.cadence"
DELAY_TAG = "trueup.delay"
_DUMMY_JOIN_KEY = "__dummy_id"
"""Feast gives a view without entities this join key; such a view has one row for everybody."""


def extract_contract(store: FeatureStore, service: str) -> FeatureContract:
    """The contract of a feature service as the registry defines it now.

    Raises ContractError when the service does not exist or uses something that has no contract.
    """
    from feast import OnDemandFeatureView  # heavy: only this function and its callers pay for it

    feature_service = service_from_feast(store, service)
    features: list[tuple[str, str]] = []
    needed: dict[str, tuple[FeatureViewProjection, set[str]]] = {}
    on_demand: list[OnDemand] = []

    def need(projection: FeatureViewProjection, names: Iterable[str]) -> None:
        name = projection.name_to_use()
        needed.setdefault(name, (projection, set()))[1].update(names)

    for projection in feature_service.feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        names = [item.name for item in projection.features]
        features.extend((projection.name_to_use(), name) for name in names)
        if isinstance(view, OnDemandFeatureView):
            on_demand.append(on_demand_from_feast(view, projection.name_to_use()))
            for source in view.source_feature_view_projections.values():
                need(source, (item.name for item in source.features))
        else:
            need(projection, names)

    views = []
    for name, (projection, wanted) in needed.items():
        view = store.registry.get_any_feature_view(projection.name, store.project)
        views.append(view_from_feast(view, sorted(wanted), name=name, join_key_map=dict(projection.join_key_map)))
    return FeatureContract(
        project=store.project,
        service=service,
        features=tuple(features),
        views=tuple(views),
        on_demand=tuple(on_demand),
    )


def service_from_feast(store: FeatureStore, service: str) -> FeatureService:
    """Raises ContractError when the registry has no such feature service."""
    from feast.errors import FeatureServiceNotFoundException

    try:
        return store.get_feature_service(service)
    except FeatureServiceNotFoundException as error:
        known = ", ".join(sorted(item.name for item in store.list_feature_services())) or "none"
        raise ContractError(
            f"feature service {service!r} is not in the registry of project {store.project!r}, which has: {known}.",
            hint="Run `feast apply`, or name one of them.",
        ) from error


def view_from_feast(
    view: FeatureView,
    features: Sequence[str] | None = None,
    *,
    name: str | None = None,
    join_key_map: dict[str, str] | None = None,
) -> View:
    """A Feast feature view as a contract's view.

    features: the wanted ones (default: all); they come in the view's own order. name: the prefix of its
    columns (default: the projection's). join_key_map: join key -> column that brings it.
    """
    join_key_map = join_key_map if join_key_map is not None else dict(view.projection.join_key_map)
    declared = {field.name: str(field.dtype) for field in view.features}
    wanted = list(declared) if features is None else list(features)
    if unknown := [item for item in wanted if item not in declared]:
        raise ContractError(
            f"feature view {view.name}: no feature {', '.join(map(repr, unknown))}; it has {', '.join(declared)}."
        )
    return View(
        name=name or view.projection.name_to_use(),
        table=view.name,
        keys=tuple(
            JoinKey(column.name, str(column.dtype), join_key_map.get(column.name, column.name))
            for column in view.entity_columns
            if column.name != _DUMMY_JOIN_KEY
        ),
        features=tuple(Field(item, declared[item]) for item in declared if item in set(wanted)),
        ttl=view.ttl or None,
        source=source_from_feast(view.name, view.batch_source),
        schedule=schedule_from_tags(view.name, view.tags),
    )


def source_from_feast(view: str, source: DataSource | None) -> Source:
    """A data source as a contract's source: our SQL sources and Feast's file sources."""
    if source is None:
        raise ContractError(f"feature view {view}: it has no batch source, so training could not read it.")
    from feast import FileSource  # heavy, and loaded by whoever has a source

    tables: dict[str, str]
    if hasattr(source, "tables") and hasattr(source, "query"):
        tables, query = dict(source.tables), str(source.query)
    elif isinstance(source, FileSource):  # others have a path as well: Spark's may be null, or of any format
        tables, query = {"source": str(source.path)}, None
    else:
        raise ContractError(
            f"feature view {view}: its source is a {type(source).__name__}, which trueup cannot read.",
            hint="Use a DuckDBQuerySource or a FileSource.",
        )
    return Source(
        kind=type(source).__name__,
        timestamp_field=source.timestamp_field,
        created_column=source.created_timestamp_column or None,
        query=query,
        tables=tables,
        field_mapping=dict(source.field_mapping or {}),
    )


def schedule_from_tags(view: str, tags: dict[str, str]) -> Schedule:
    """The declared cadence and delay; without tags a row is readable as soon as it is created."""

    def duration(tag: str) -> timedelta:
        return parse_duration(tags.get(tag, "0s"), field=f"feature view {view}, tag {tag}")

    return Schedule(cadence=duration(CADENCE_TAG), delay=duration(DELAY_TAG))


def on_demand_from_feast(view: OnDemandFeatureView, name: str | None = None) -> OnDemand:
    """An on-demand feature view as a contract's. Only `python` and `pandas` functions have a contract."""
    transformation: Any = view.feature_transformation
    code = getattr(transformation, "udf_string", "")
    if view.mode not in ("python", "pandas") or not code:
        raise ContractError(
            f"on-demand feature view {view.name}: mode {view.mode!r} has no function whose source can be recorded.",
            hint="Write it as a python or pandas function.",
        )
    if view.singleton:
        raise ContractError(
            f"on-demand feature view {view.name}: singleton=True is broken in Feast (a batch of 3 returns length 1).",
            hint="Drop singleton and return one list item per row.",
        )
    return OnDemand(
        name=name or view.name,
        mode=view.mode,
        inputs=tuple(
            (projection.name_to_use(), field.name)
            for projection in view.source_feature_view_projections.values()
            for field in projection.features
        ),
        request=tuple(
            Field(field.name, str(field.dtype))
            for source in view.source_request_sources.values()
            for field in source.schema
        ),
        outputs=tuple(Field(field.name, str(field.dtype)) for field in view.features),
        code=_without_decorators(view.name, code),
    )


def _without_decorators(name: str, code: str) -> str:
    """The function's own text, from `def` on: Feast keeps the decorator lines in it."""
    text = textwrap.dedent(code)
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ContractError(f"on-demand feature view {name}: its source cannot be parsed: {error}.") from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            return "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]) + "\n"
    raise ContractError(f"on-demand feature view {name}: its source holds no `def`; a lambda has no contract.")
