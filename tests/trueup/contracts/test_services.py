"""Which service a log is of, and what of a contract can be read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trueup.contracts.contract import FeatureContract, Field, JoinKey, OnDemand, Source, View
from trueup.contracts.readable import inputs_used, readable
from trueup.contracts.services import fitting_service
from trueup.errors import ContractError

SERVICES = {"small": ("a",), "large": ("a", "b"), "other": ("c",), "empty": ()}


def test_the_service_with_most_features_in_the_log_is_it() -> None:
    assert fitting_service(SERVICES, ["a", "x"]) == "small"
    assert fitting_service(SERVICES, ["b", "a", "x"]) == "large"


def test_several_or_none_are_named() -> None:
    with pytest.raises(ContractError, match="fit several feature services: small, other"):
        fitting_service(SERVICES, ["a", "c"])
    with pytest.raises(ContractError, match="of 'large' it lacks a"):
        fitting_service(SERVICES, ["b"])
    with pytest.raises(ContractError, match="the registry has no feature service"):
        fitting_service({}, ["b"])


def odfv(code: str, name: str = "made") -> OnDemand:
    return OnDemand(
        name=name,
        mode="python",
        inputs=(("v", "a"), ("v", "weird")),
        request=(),
        outputs=(Field("out", "Float64"), Field("odd", "ZonedTimestamp")),
        code=code,
    )


def contract(*on_demand: OnDemand) -> FeatureContract:
    source = Source("FileSource", "t", None, None, {"source": "x"}, {})
    view = View(
        "v", "v", (JoinKey("k", "Int64", "k"),), (Field("a", "Int64"), Field("weird", "ScalarMap")), None, source
    )
    outputs = tuple((item.name, "out") for item in on_demand)
    return FeatureContract("p", "s", (("v", "a"), ("v", "weird"), *outputs), (view,), on_demand)


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ('def f(x):\n    return {"out": x["a"]}\n', {"a"}),
        ('def f(x):\n    y = x["a"] + x["v__a"]\n    return y\n', {"a", "v__a"}),
        ("def f(x):\n    return x\n", None),
        ("def f(x):\n    return x[name]\n", None),
        ('def f(x):\n    x["out"] = 1\n    return x\n', None),
        ("def f(x):\n    return x.sum(axis=1)\n", None),
        ('def f(x):\n    return [x[c] for c in ("a", "weird")]\n', None),
        ('def f(x, y=1):\n    return x["a"]\n', None),
        ("f = lambda x: x\n", None),
        ("def f(x:\n", None),
    ],
)
def test_what_a_function_looks_at_is_told_only_where_it_can_be(code: str, used: set[str] | None) -> None:
    assert inputs_used(odfv(code)) == used


def test_an_unknown_type_takes_only_what_needs_it() -> None:
    apart = odfv('def f(x):\n    return {"out": x["a"]}\n')
    needs = odfv('def f(x):\n    return {"out": x["weird"]}\n', "needs")
    found = readable(contract(apart, needs))
    assert found.contract.columns == ("v__a", "made__out")
    assert [item.name for item in found.contract.views[0].features] == ["a"]
    assert found.contract.on_demand[0].inputs == (("v", "a"),)
    assert found.left_out == {
        "v__weird": "its type ScalarMap is not supported",
        "needs__out": "its input v:weird: its type ScalarMap is not supported",
    }
    assert list(found.contract.schema.names) == ["v__a", "made__out"]


def test_a_contract_of_known_types_stays_as_it_is() -> None:
    whole = contract()
    known = replace(whole, features=(("v", "a"),), views=(replace(whole.views[0], features=(Field("a", "Int64"),)),))
    assert readable(known).contract is known
