"""The part of a contract that trueup can read: without features of a Feast type it does not know. Pure.

A log of somebody else's repository is compared as far as that goes. An on-demand view may take such a feature and not
use it (Feast hands it all features of its sources): where its function provably does not, it is computed without.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trueup.contracts.contract import FeatureContract, OnDemand
from trueup.contracts.dtypes import is_known


@dataclass(frozen=True)
class Readable:
    """contract: what can be read. left_out: feature of the service (`view__feature`) -> why it cannot."""

    contract: FeatureContract
    left_out: Mapping[str, str] = field(default_factory=dict)


def readable(contract: FeatureContract) -> Readable:
    """The same contract, hash and all, where every type is known."""
    unknown = {
        (view.name, item.name): item.dtype
        for view in contract.views
        for item in view.features
        if not is_known(item.dtype)
    }
    if not unknown and all(is_known(item.dtype) for view in contract.on_demand for item in view.outputs):
        return Readable(contract)
    left_out = {f"{view}__{name}": _reason(dtype) for (view, name), dtype in unknown.items()}
    on_demand = []
    for odfv in contract.on_demand:
        bad = [pair for pair in odfv.inputs if pair in unknown]
        used = inputs_used(odfv) if bad else frozenset()
        if used is None or any(name in used or f"{view}__{name}" in used for view, name in bad):
            names = ", ".join(f"{view}:{name}" for view, name in bad)
            left_out |= {
                odfv.column(item.name): f"its input {names}: {_reason(unknown[bad[0]])}" for item in odfv.outputs
            }
            continue
        left_out |= {odfv.column(item.name): _reason(item.dtype) for item in odfv.outputs if not is_known(item.dtype)}
        outputs = tuple(item for item in odfv.outputs if is_known(item.dtype))
        inputs = tuple(pair for pair in odfv.inputs if pair not in unknown)
        on_demand.append(replace(odfv, inputs=inputs, outputs=outputs))
    features = tuple((view, name) for view, name in contract.features if f"{view}__{name}" not in left_out)
    needed = set(features) | {pair for odfv in on_demand for pair in odfv.inputs}
    views = tuple(
        replace(view, features=tuple(item for item in view.features if (view.name, item.name) in needed))
        for view in contract.views
        if any(owner == view.name for owner, _ in needed)
    )
    part = replace(contract, features=features, views=views, on_demand=tuple(on_demand))
    return Readable(part, {name: left_out[name] for name in contract.columns if name in left_out})


def inputs_used(view: OnDemand) -> frozenset[str] | None:
    """Names of the inputs that the view's function looks at; None where that cannot be told from its source.

    It can where the function's one parameter is only ever subscripted with a text: `inputs["speed"]`.
    """
    try:
        (function,) = ast.parse(textwrap.dedent(view.code)).body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef) or len(function.args.args) != 1:
        return None
    parameter = function.args.args[0].arg
    names, subscripted = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == parameter:
            if not isinstance(node.slice, ast.Constant) or not isinstance(node.slice.value, str):
                return None
            names.add(node.slice.value)
            subscripted.add(id(node.value))
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == parameter and id(node) not in subscripted:
            return None
    return frozenset(names)


def _reason(dtype: str) -> str:
    return f"its type {dtype} is not supported"
