"""Laws of `ModelCard`: it survives JSON whole, and a damaged one is refused, not half understood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.trueup.models.examples import card

from trueup.errors import ContractError, ModelError
from trueup.instants import AsOfRule
from trueup.models.card import ModelCard


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"snapshot": "f" * 64},
        {"git_commit": None, "git_dirty": False},
        {"rule": AsOfRule("unbounded")},
        {"metrics": {}},
    ],
)
def test_a_card_survives_json(changes: dict[str, Any]) -> None:
    written = card(**changes)
    assert ModelCard.from_json(json.loads(json.dumps(written.to_json()))) == written


def test_a_card_from_before_there_were_snapshots_can_be_read() -> None:
    old = card().to_json()
    del old["snapshot"]
    assert ModelCard.from_json(old) == card(snapshot=None)


def test_where_a_model_is_registered_is_not_part_of_its_json() -> None:
    assert card(run_id="r", version=3).to_json() == card().to_json()


def test_a_card_names_its_model_with_the_version_once_it_has_one() -> None:
    assert str(card()) == "buyers"
    assert str(card(version=3)) == "buyers@3"


def test_a_card_of_another_format_is_refused() -> None:
    with pytest.raises(ModelError, match="format 99 cannot be read; this version reads 1"):
        ModelCard.from_json({**card().to_json(), "format": 99})


@pytest.mark.parametrize("part", ["name", "contract", "rule", "inputs", "metrics", "seed", "git"])
def test_a_card_without_a_part_is_refused_by_the_name_of_the_part(part: str) -> None:
    data = card().to_json()
    del data[part]
    with pytest.raises(ModelError, match=f"incomplete.*{part}"):
        ModelCard.from_json(data)


def test_a_card_with_an_edited_contract_is_refused() -> None:
    data = card().to_json()
    data["contract"]["views"][0]["ttl"] = "9d"
    with pytest.raises(ContractError, match="edited by hand or damaged"):
        ModelCard.from_json(data)
