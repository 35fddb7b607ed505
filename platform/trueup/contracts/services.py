"""Which feature service a log's columns are of. `service_columns` reads the registry; the choice is pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from trueup.errors import ContractError

if TYPE_CHECKING:
    from feast import FeatureStore


def service_columns(store: FeatureStore) -> dict[str, tuple[str, ...]]:
    """Feature service -> its features as a log names them (`view__feature`), by name."""
    return {
        service.name: tuple(
            f"{projection.name_to_use()}__{feature.name}"
            for projection in service.feature_view_projections
            for feature in projection.features
        )
        for service in sorted(store.list_feature_services(), key=lambda item: str(item.name))
    }


def fitting_service(services: Mapping[str, Collection[str]], columns: Collection[str]) -> str:
    """The service all of whose features are among the columns; of several, the one with most.

    Raises ContractError when there is none, and when several have equally many: they are then named.
    """
    there = set(columns)
    if not services:
        raise ContractError(
            "the registry has no feature service, and a served log is of one.",
            hint="Define a FeatureService of the logged features and run `feast apply`.",
        )
    fitting = {name: len(set(features)) for name, features in services.items() if features and there >= set(features)}
    if not fitting:
        nearest = max(services, key=lambda name: len(there & set(services[name])))
        missing = [name for name in services[nearest] if name not in there]
        raise ContractError(
            f"no feature service of the registry has all its features in the log; of {nearest!r} it lacks "
            f"{', '.join(missing[:8])}{', ...' if len(missing) > 8 else ''}.",
            hint=f"Name it with --service (there are {', '.join(services)}), or map the log's columns (--map).",
        )
    most = max(fitting.values())
    candidates = [name for name, count in fitting.items() if count == most]
    if len(candidates) > 1:
        raise ContractError(
            f"the log's columns fit several feature services: {', '.join(candidates)}.",
            hint="Name the one that was served with --service.",
        )
    return candidates[0]
