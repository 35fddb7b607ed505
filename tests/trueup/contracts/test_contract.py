from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from datetime import timedelta

import pyarrow as pa
import pytest

from trueup.contracts.contract import FeatureContract, Field, JoinKey, OnDemand, Source, View
from trueup.contracts.dtypes import arrow_type
from trueup.errors import ContractError
from trueup.instants import Schedule

SOURCE = Source(
    kind="DuckDBQuerySource",
    timestamp_field="hour",
    created_column="created",
    query="SELECT *\n  FROM departures",
    tables={"departures": "data/departures.parquet"},
    field_mapping={"hour": "event"},
)
VIEW = View(
    name="weather",
    table="weather",
    keys=(JoinKey("airport", "String", "origin"),),
    features=(Field("temp", "Float64"), Field("wind", "Float64")),
    ttl=timedelta(hours=3),
    source=SOURCE,
    schedule=Schedule(timedelta(hours=1)),
)
ODFV = OnDemand(
    name="local",
    mode="python",
    inputs=(("weather", "temp"),),
    request=(Field("at", "Int64"),),
    outputs=(Field("hour", "Int64"),),
    code="def local(inputs):\n    return {'hour': inputs['at']}\n",
)
CONTRACT = FeatureContract("flights", "v1", (("local", "hour"), ("weather", "wind")), (VIEW,), (ODFV,))


def changed(**changes: object) -> FeatureContract:
    return dataclasses.replace(CONTRACT, views=(dataclasses.replace(VIEW, **changes),))  # type: ignore[arg-type]


def test_a_contract_survives_json_with_the_same_hash() -> None:
    again = FeatureContract.from_json(json.loads(json.dumps(CONTRACT.to_json())))
    assert again == CONTRACT
    assert again.hash == CONTRACT.hash


def test_a_contract_edited_by_hand_is_refused() -> None:
    data = CONTRACT.to_json()
    data["views"][0]["ttl"] = "9h"
    with pytest.raises(ContractError, match="edited by hand or damaged"):
        FeatureContract.from_json(data)


def test_the_hash_does_not_depend_on_the_hash_seed() -> None:
    code = "from tests.trueup.contracts.test_contract import CONTRACT; print(CONTRACT.hash)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "77")
    }
    assert hashes == {CONTRACT.hash}


@pytest.mark.parametrize(
    ("other", "part", "detail"),
    [
        (changed(ttl=timedelta(hours=4)), "view weather", "ttl 3h -> 4h"),
        (changed(features=(Field("temp", "Float32"), Field("wind", "Float64"))), "view weather", "Float32"),
        (changed(source=dataclasses.replace(SOURCE, query="SELECT 1")), "source weather", "query"),
        (changed(source=dataclasses.replace(SOURCE, created_column=None)), "source weather", "created_column"),
        (
            dataclasses.replace(CONTRACT, on_demand=(dataclasses.replace(ODFV, code="def local(i):\n    return i\n"),)),
            "on_demand local",
            "code",
        ),
        (dataclasses.replace(CONTRACT, features=CONTRACT.features[::-1]), "service", "features"),
        (dataclasses.replace(CONTRACT, on_demand=()), "on_demand local", "removed"),
    ],
)
def test_a_difference_names_the_part_and_what_changed_in_it(other: FeatureContract, part: str, detail: str) -> None:
    (difference,) = CONTRACT.diff(other)
    assert difference.part == part
    assert detail in difference.detail
    assert CONTRACT.hash != other.hash


@pytest.mark.parametrize(
    "same",
    [
        changed(schedule=Schedule(timedelta(hours=2))),
        changed(source=dataclasses.replace(SOURCE, query="\n    SELECT *  \n      FROM departures\n")),
        dataclasses.replace(
            CONTRACT,
            on_demand=(
                dataclasses.replace(
                    ODFV,
                    code="def local(inputs):\n    '''Now told.'''\n\n    return {'hour': inputs['at']}  # the hour\n",
                ),
            ),
        ),
        dataclasses.replace(CONTRACT, project="staging"),
    ],
    ids=["schedule", "indentation of SQL", "docstring and comments", "project"],
)
def test_what_does_not_change_a_value_does_not_change_the_hash(same: FeatureContract) -> None:
    assert same.hash == CONTRACT.hash
    assert not CONTRACT.diff(same)


def test_the_schema_and_the_columns_are_in_the_services_order() -> None:
    assert CONTRACT.columns == ("local__hour", "weather__wind")
    assert CONTRACT.schema == pa.schema([("local__hour", pa.int64()), ("weather__wind", pa.float64())])
    assert CONTRACT.entity_fields == (Field("origin", "String"),)
    assert CONTRACT.request_fields == (Field("at", "Int64"),)


def test_one_column_with_two_types_is_refused() -> None:
    other = dataclasses.replace(VIEW, name="other", keys=(JoinKey("airport", "Int64", "origin"),))
    with pytest.raises(ContractError, match="origin"):
        _ = dataclasses.replace(CONTRACT, views=(VIEW, other)).entity_fields


def test_a_type_without_an_arrow_type_is_named() -> None:
    assert arrow_type("Array(Array(Int64))") == pa.list_(pa.list_(pa.int64()))
    with pytest.raises(ContractError, match="Quaternion"):
        arrow_type("Quaternion")
