"""A server starts only on what its models were trained on, and says what is wrong otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feast.types import Float32
from sklearn.linear_model import LogisticRegression
from tests.serving import world as worlds
from tests.serving.conftest import AB, settings
from tests.serving.world import World
from tests.trueup.parity.stock import redis_over_tcp

from trueup.contracts.contract import Field
from trueup.errors import ContractError, InputError, ModelError, StoreError
from trueup.models.bundle import matrix
from trueup_serving.app import create_app
from trueup_serving.loading import check_contract, load_service
from trueup_serving.problems import Problem
from trueup_serving.schemas import RequestSchema


@pytest.mark.parametrize(
    ("change", "part", "detail"),
    [
        ({"plane_ttl": timedelta(hours=2)}, "view plane", "ttl 1h -> 2h"),
        ({"speed": Float32}, "view plane", r"features .*'speed': 'Float64'.* -> .*'speed': 'Float32'"),
        ({"hours": 12}, "on_demand clock", "code"),
    ],
)
def test_a_changed_definition_refuses_the_start_and_is_named(
    world: World, tmp_path: Path, change: dict[str, Any], part: str, detail: str
) -> None:
    changed = worlds.copy(world, tmp_path)
    worlds.define(changed.store, **change)
    with pytest.raises(
        ContractError, match=rf"honest@1: .*'both_v1' is not what it was trained on(.|\n)*{part}: {detail}"
    ):
        load_service(settings(changed, tmp_path / "log"))
    assert not (tmp_path / "log").exists()


def test_the_error_says_what_to_do(world: World) -> None:
    trained = world.contracts["both_v1"]
    live = replace(trained, views=tuple(replace(view, ttl=timedelta(days=1)) for view in trained.views))
    with pytest.raises(ContractError) as refused:
        check_contract("honest@1", trained, live)
    assert [line.strip() for line in refused.value.message.splitlines()[1:]] == [
        "view plane: ttl 1h -> 1d",
        "view route: ttl None -> 1d",
    ]
    assert "Train a new version" in str(refused.value)
    assert "feast apply" in str(refused.value)
    check_contract("honest@1", trained, trained)


def test_a_service_that_is_gone_refuses_the_start(world: World, tmp_path: Path) -> None:
    changed = worlds.copy(world, tmp_path)
    changed.store.delete_feature_service("both_v1")
    with pytest.raises(ContractError, match="feature service 'both_v1' is not in the registry"):
        load_service(settings(changed, tmp_path / "log"))


@pytest.mark.parametrize(
    ("model", "says"), [("nobody", "'nobody' is not registered"), ("honest", "has no alias 'challenger'")]
)
def test_a_model_that_is_not_there_refuses_the_start(world: World, tmp_path: Path, model: str, says: str) -> None:
    config = settings(world, tmp_path / "log", [("a", model, 1)])
    variant = config.experiment.variants[0].model_copy(update={"alias": "challenger"})
    experiment = config.experiment.model_copy(update={"variants": (variant,)})
    with pytest.raises(ModelError, match=says):
        load_service(config.model_copy(update={"experiment": experiment}))


def test_a_model_that_takes_no_nulls_refuses_the_start(world: World, tmp_path: Path) -> None:
    """Unknown entities and expired features will come; better no server than a 500 then."""
    contract = world.contracts["small_v1"]
    inputs = matrix(worlds.noise(contract, 50, seed=0), contract.columns)
    labels = np.arange(50) % 2
    worlds.register_estimator(world.tracking, "fragile", contract, LogisticRegression().fit(inputs, labels), inputs)
    with pytest.raises(ModelError, match="fragile@1: it cannot predict a row whose features are all missing"):
        load_service(settings(world, tmp_path / "log", [("a", "fragile", 1)]))


def test_an_online_store_that_is_not_redis_refuses_the_start(world: World, tmp_path: Path) -> None:
    changed = worlds.copy(world, tmp_path)
    path = changed.repo / "feature_store.yaml"
    text = path.read_text().partition("online_store: {type: trueup")[0]
    path.write_text(text + "online_store: {type: sqlite, path: online.db}\n")
    with pytest.raises(StoreError, match="online store of project world is 'sqlite'; the server reads a single Redis"):
        load_service(settings(changed, tmp_path / "log"))


def test_a_folder_that_is_no_feature_repository_refuses_the_start(world: World, tmp_path: Path) -> None:
    config = settings(world, tmp_path / "log").model_copy(update={"repo": tmp_path})
    with pytest.raises(InputError, match=r"no feature_store\.yaml"):
        load_service(config)


def test_a_log_directory_that_cannot_be_written_refuses_the_start(world: World, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    app = create_app(settings(world, tmp_path / "log"))
    with pytest.raises(StoreError, match="the event log cannot be written"):
        app.state.service.log.start()


def test_variants_that_want_one_field_in_two_types_refuse_the_start(world: World) -> None:
    one = world.contracts["both_v1"]
    (clock,) = one.on_demand
    other_clock = type(clock)(
        clock.name, clock.mode, clock.inputs, (Field("sched", "String"),), clock.outputs, clock.code
    )
    other = replace(one, service="other_v1", on_demand=(other_clock,))
    with pytest.raises(ContractError, match=r"'sched' is Int64 for one variant and String for another \(other_v1\)"):
        RequestSchema([one, other], "flight", ["a"], 10)


def test_a_unit_must_be_text_or_a_whole_number(world: World) -> None:
    with pytest.raises(InputError, match="'price' is Float32; units are text or whole numbers"):
        RequestSchema([world.contracts["both_v1"]], "price", ["a"], 10)


@pytest.mark.parametrize(("unit", "good", "bad"), [("tailnum", "N1", None), ("sched", 5, None), ("tailnum", "N1", "")])
def test_a_unit_may_be_a_field_of_the_features_and_is_then_never_null(
    world: World, unit: str, good: object, bad: object
) -> None:
    schema = RequestSchema([world.contracts["both_v1"]], unit, ["a"], 10)
    row = {name: value for name, value in worlds.entity().items() if name != "flight"}
    assert schema.predict.parse(json.dumps({"entities": [{**row, unit: good}]}).encode()).rows[0][unit] == good
    with pytest.raises(Problem) as refused:
        schema.predict.parse(json.dumps({"entities": [{**row, unit: bad}]}).encode())
    assert [error.field for error in refused.value.errors] == [f"entities[0].{unit}"]


def test_a_server_of_one_model_is_an_experiment_of_one_variant(world: World, tmp_path: Path) -> None:
    service = load_service(settings(world, tmp_path / "log", AB[:1]))
    assert [model.ref for model in service.models.values()] == [("honest", "1")]


def test_a_wrong_redis_password_refuses_the_start_and_is_never_shown(world: World, tmp_path: Path) -> None:
    mine = worlds.copy(world, tmp_path)
    path = mine.repo / "feature_store.yaml"
    with redis_over_tcp(tmp_path, password="right") as port:
        before = path.read_text().partition("connection_string: ")[0]
        path.write_text(f"{before}connection_string: 'localhost:{port},password=hunter2'}}\n")
        with pytest.raises(StoreError, match=r"refused the user or password.*Set them in connection_string") as refused:
            load_service(settings(mine, tmp_path / "log"))
    assert "hunter2" not in str(refused.value)


def test_a_redis_that_is_not_up_yet_refuses_no_start(world: World, tmp_path: Path) -> None:
    mine = worlds.copy(world, tmp_path)
    path = mine.repo / "feature_store.yaml"
    before = path.read_text().partition("connection_string: ")[0]
    path.write_text(f"{before}connection_string: 'unix:///{tmp_path}/nobody'}}\n")
    service = load_service(settings(mine, tmp_path / "log"))
    assert not service.readiness().ready


def test_an_alias_that_nobody_set_refuses_the_start_and_says_how_to_set_it(world: World, tmp_path: Path) -> None:
    config = settings(world, tmp_path / "log")
    assert config.experiment is not None
    variants = [each.model_copy(update={"alias": "nobody"}) for each in config.experiment.variants]
    experiment = config.experiment.model_copy(update={"variants": tuple(variants)})
    with pytest.raises(ModelError, match=r"honest.*nobody"):
        load_service(config.model_copy(update={"experiment": experiment}))
