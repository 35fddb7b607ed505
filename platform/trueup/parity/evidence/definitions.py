"""Other definitions that features may have been served under: the log's own contract, and the ledger's runs'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from trueup.contracts.contract import FeatureContract, View
from trueup.parity.case import Definition, Rows, only
from trueup.parity.compare import Mask
from trueup.stores.landing import micros
from trueup.stores.ledger import Ledger


def common_columns(model: FeatureContract, log: FeatureContract) -> list[str]:
    """Features of a model that rows logged under another contract can be compared by, in the model's order.

    Both have them, and the log has the entity and request columns that they need.
    """
    logged = set(log.columns)
    sent = {item.name for item in (*log.entity_fields, *log.request_fields)}
    found = []
    for column in model.columns:
        alone = only(model, [column])
        needed = {item.name for item in (*alone.entity_fields, *alone.request_fields)}
        if column in logged and needed <= sent:
            found.append(column)
    return found


def log_definition(
    model: FeatureContract, log: FeatureContract, at: Rows, applied: Mapping[str, datetime] | None = None
) -> tuple[Definition, ...]:
    """The log's own contract, where it is not the model's.

    at: instants of the rows, microseconds since 1970 UTC. applied: view (of the registry) or on-demand view -> since
    when the registry has the definition that the model has too (Feast's `last_updated_timestamp`).
    """
    if model.hash == log.hash:
        return ()
    parts = {change.part for change in model.diff(log)}
    tables = {view.table for view in model.views if {f"view {view.name}", f"source {view.name}"} & parts}
    tables |= {view.name for view in model.on_demand if f"on_demand {view.name}" in parts}
    since = [instant for name, instant in (applied or {}).items() if name in tables]
    replaced: Mask | None = at >= micros(max(since)) if since else None
    return (Definition(only(log, model.columns), "log", replaced),)


def ledger_definitions(contract: FeatureContract, ledger: Ledger | None) -> tuple[Definition, ...]:
    """Definitions that runs in the ledger were of and that are not the views' own, newest first."""
    if ledger is None:
        return ()
    found: list[Definition] = []
    for view in contract.views:
        for name, older in reversed(ledger.definitions(contract.project, view.table).items()):
            redefined = _redefined(view, older)
            if redefined is not None and redefined.definition_hash != view.definition_hash:
                found.append(Definition(_with_view(contract, redefined), "ledger", view=view.name, hash=name))
    return tuple(found)


def other_definitions(
    model: FeatureContract, others: Mapping[str, FeatureContract] | tuple[FeatureContract, ...]
) -> tuple[Definition, ...]:
    """Contracts of other logs and models that are not the model's."""
    contracts = others.values() if isinstance(others, Mapping) else others
    different = {item.hash: item for item in contracts if item.hash != model.hash}
    return tuple(Definition(only(item, common_columns(model, item)), "other") for _, item in sorted(different.items()))


def _redefined(view: View, older: View) -> View | None:
    """The view as the older definition has it, under the names the contract uses; None where its key is another."""
    if [(key.name, key.dtype) for key in view.keys] != [(key.name, key.dtype) for key in older.keys]:
        return None
    wanted = {item.name for item in view.features}
    features = tuple(item for item in older.features if item.name in wanted)
    return replace(view, features=features, ttl=older.ttl, source=older.source)


def _with_view(contract: FeatureContract, view: View) -> FeatureContract:
    """The contract with one view replaced, without what that view no longer has."""
    names = {item.name for item in view.features}

    def lacks(source: str, feature: str) -> bool:
        return source == view.name and feature not in names

    needed = {odfv.name for odfv in contract.on_demand if any(lacks(*pair) for pair in odfv.inputs)}
    features = tuple(pair for pair in contract.features if pair[0] not in needed and not lacks(*pair))
    return replace(
        contract,
        features=features,
        views=tuple(view if item.name == view.name else item for item in contract.views),
        on_demand=tuple(odfv for odfv in contract.on_demand if odfv.name not in needed),
    )
