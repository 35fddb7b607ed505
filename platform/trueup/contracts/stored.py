"""What of a Feast repository stands online, and can be read from its sources: any repository, as it is.

An extracted contract is all or nothing; a check of the online store goes on with what it can read, and says what it
cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trueup.contracts.contract import FeatureContract, View
from trueup.contracts.dtypes import is_known
from trueup.contracts.extract import service_from_feast, view_from_feast
from trueup.errors import ContractError, InputError, TrueupError

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class StoredViews:
    """contract: the views that can be read, each under its own name and keys; its service is empty for all of a
    repository. problems: view -> why it cannot be read. left_out: view -> feature -> its Feast type, which trueup does
    not know. not_stored: kind -> names of what is not a table of the online store (on-demand views, views that are not
    online, label views).
    """

    contract: FeatureContract
    problems: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    not_stored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def stored_views(store: FeatureStore, service: str | None = None, names: Sequence[str] | None = None) -> StoredViews:
    """service: its views with the features it needs of them, inputs of on-demand views included; None: every view
    with every feature. names: only these views.

    Raises ContractError for a service that does not exist, InputError for a view that does not, or when there is none.
    """
    # By name: the registry's own order changes with each materialization.
    listed = (*store.list_feature_views(), *store.list_stream_feature_views())
    every: dict[str, Any] = {view.name: view for view in sorted(listed, key=lambda view: str(view.name))}
    on_demand = {view.name: view for view in store.list_on_demand_feature_views()}
    wanted = {name: [item.name for item in view.features] for name, view in every.items()}
    not_stored: dict[str, Sequence[str]] = {"on-demand views": list(on_demand)}
    if service is None:
        not_stored["label views"] = [view.name for view in store.list_label_views()]
    else:
        wanted, not_stored["on-demand views"] = _of_service(store, service, on_demand)
    for name in names or ():
        if name not in wanted:
            of = f"feature service {service!r}" if service is not None else f"project {store.project!r}"
            raise InputError(
                "view",
                f"there is no feature view {name!r} in {of}, which has: {', '.join(sorted(wanted)) or 'none'}.",
                hint="Run `feast apply`, or name one of them.",
            )
    if not wanted:
        raise InputError(
            "repo", f"the registry of project {store.project!r} has no feature view.", hint="Run `feast apply` first."
        )
    not_stored["views that are not online"] = [name for name in wanted if name in every and not every[name].online]
    views: list[View] = []
    problems: dict[str, str] = {}
    left_out: dict[str, dict[str, str]] = {}
    for name, features in wanted.items():
        if (names and name not in names) or name in not_stored["views that are not online"]:
            continue
        try:
            views.append(_view(every, name, features, left_out))
        except TrueupError as error:
            problems[name] = str(error)
    contract = FeatureContract(
        project=store.project,
        service=service or "",
        features=tuple((view.name, item.name) for view in views for item in view.features),
        views=tuple(views),
    )
    return StoredViews(
        contract, problems, left_out, {kind: tuple(found) for kind, found in not_stored.items() if found}
    )


def _of_service(
    store: FeatureStore, service: str, on_demand: Mapping[str, Any]
) -> tuple[dict[str, list[str]], list[str]]:
    """View -> features that the service needs of it, and its on-demand views."""
    wanted: dict[str, dict[str, None]] = {}
    computed = []
    for projection in service_from_feast(store, service).feature_view_projections:
        needed = [projection]
        if projection.name in on_demand:
            computed.append(projection.name)
            needed = list(on_demand[projection.name].source_feature_view_projections.values())
        for part in needed:
            wanted.setdefault(part.name, {}).update(dict.fromkeys(item.name for item in part.features))
    return {name: list(features) for name, features in wanted.items()}, computed


def _view(every: Mapping[str, Any], name: str, features: Sequence[str], left_out: dict[str, dict[str, str]]) -> View:
    if name not in every:
        raise ContractError(f"{name} is no feature view that is kept in the online store.")
    feast_view = every[name]
    dtypes = {item.name: str(item.dtype) for item in feast_view.features}
    known = [feature for feature in features if is_known(dtypes.get(feature, ""))]
    if unknown := {feature: dtypes[feature] for feature in features if feature not in known and feature in dtypes}:
        left_out[name] = unknown
    return view_from_feast(feast_view, known, name=name, join_key_map={})
