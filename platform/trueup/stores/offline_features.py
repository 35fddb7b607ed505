"""Which features a historical read was asked for, and what their columns are called in its result. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feast import FeatureView, OnDemandFeatureView
from feast.utils import _parse_feature_ref

from trueup.contracts.contract import View
from trueup.contracts.extract import view_from_feast
from trueup.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """One requested feature: where it is read, and what its column is called in the result."""

    view: View
    feature: str
    output: str

    @property
    def column(self) -> str:
        return self.view.column(self.feature)


def wanted_features(refs: Sequence[str], feature_views: Sequence[FeatureView], full_names: bool) -> list[Wanted]:
    """The features among the references, in their order; references to on-demand views are Feast's to compute."""
    by_name = {view.projection.name_to_use(): view for view in feature_views}
    asked: dict[tuple[str, str], None] = {}
    for ref in refs:
        name, version, feature = _parse_feature_ref(ref)
        if (used := name if version is None else f"{name}@v{version}") in by_name:
            asked[used, feature] = None
    views = {
        used: view_from_feast(
            view,
            [feature for name, feature in asked if name == used],
            name=view.projection.name_alias or view.name,
        )
        for used, view in by_name.items()
        if any(name == used for name, _ in asked)
    }
    return [
        Wanted(views[used], feature, views[used].column(feature) if full_names else feature) for used, feature in asked
    ]


def views_of(wanted: Sequence[Wanted]) -> list[View]:
    return list({id(item.view): item.view for item in wanted}.values())


def on_demand_outputs(views: Sequence[OnDemandFeatureView], refs: Sequence[str], full_names: bool) -> list[str]:
    names = {view.projection.name_to_use(): view.projection.name_alias or view.name for view in views}
    parsed = [_parse_feature_ref(ref) for ref in refs]
    return [f"{names[name]}__{feature}" if full_names else feature for name, _, feature in parsed if name in names]


def refuse_collisions(
    entities: Sequence[str], outputs: Sequence[str], on_demand: Sequence[str], full_names: bool
) -> None:
    taken = set(entities)
    for name in (*outputs, *on_demand):
        if name in taken:
            raise InputError(
                "entity_df" if name in entities else "features",
                f"feature column {name!r} has the name of "
                f"{'a column of entity_df' if name in entities else 'another feature'}.",
                hint="Rename the entity_df column." if full_names else "Ask for full_feature_names=True, or rename it.",
            )
        taken.add(name)
