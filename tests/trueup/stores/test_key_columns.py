"""Laws of entity keys in bulk: bytes as one by one, back to what they were, and no other project's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trueup.stores.test_redis_bytes import KEY_PARTS

from trueup.contracts.contract import JoinKey
from trueup.errors import ContractError
from trueup.stores.entity_key import KeyLayout
from trueup.stores.key_columns import OTHER_KEY_TYPE, OTHER_PROJECT, UNDECODABLE, KeyColumns, in_sample

SECONDS = st.integers(-(2**31), 2**33).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
PARTS = {**KEY_PARTS, "UnixTimestamp": SECONDS}


@st.composite
def key_rows(draw: st.DrawFn) -> tuple[tuple[JoinKey, ...], list[tuple[Any, ...]]]:
    names = draw(st.lists(st.text(min_size=1, max_size=4), max_size=3, unique=True))
    dtypes = [draw(st.sampled_from(sorted(PARTS))) for _ in names]
    rows = draw(st.lists(st.tuples(*(PARTS[dtype] for dtype in dtypes)), max_size=5))
    return tuple(JoinKey(name, dtype, name) for name, dtype in zip(names, dtypes, strict=True)), rows


@given(key_rows(), st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=3))
def test_keys_are_those_of_the_layout_and_come_back_for_their_own_project_alone(
    given_: tuple[tuple[JoinKey, ...], list[tuple[Any, ...]]], project: str, more: str
) -> None:
    keys, rows = given_
    columns = KeyColumns(keys)
    table = pa.table(
        [pa.array([row[i] for row in rows], columns.schema.field(i).type) for i in range(len(keys))]
        or [pa.array([""] * len(rows))],
        schema=columns.schema,
    )
    encoded = columns.encode(table)
    layout = KeyLayout("", tuple((item.name, item.dtype) for item in keys))
    assert encoded == [layout.encode(row) for row in rows]
    stored = [key + project.encode() for key in encoded if key is not None]
    assert columns.decode(stored, project).columns.to_pylist() == table.to_pylist()
    for other in (project + more, more + project):
        found = columns.decode(stored, other)
        assert found.columns.num_rows == 0
        assert sum(found.skipped.values()) == len(rows)


def test_a_project_whose_name_ends_with_ours_keeps_its_keys() -> None:
    columns = KeyColumns([JoinKey("id", "String", "id")])
    ours, theirs = (KeyLayout(project, (("id", "String"),)).encode(["x"]) for project in ("prod", "myprod"))
    found = columns.decode([ours, theirs, ours[:-5], b"junk"], "prod")
    assert found.columns.to_pylist() == [{"id": "x"}]
    assert dict(found.skipped) == {OTHER_PROJECT: 1, UNDECODABLE: 2}


def test_keys_of_another_declared_type_are_counted_as_such() -> None:
    columns = KeyColumns([JoinKey("id", "Int64", "id")])
    found = columns.decode([KeyLayout("p", (("id", "String"),)).encode(["7"])], "p")
    assert (found.columns.num_rows, dict(found.skipped)) == (0, {OTHER_KEY_TYPE: 1})


def test_a_key_that_no_store_can_hold_has_no_bytes() -> None:
    columns = KeyColumns([JoinKey("at", "UnixTimestamp", "at")])
    half = datetime(2024, 1, 1, microsecond=500_000, tzinfo=UTC)
    rows = pa.table({"at": pa.array([half, None, half.replace(microsecond=0)], pa.timestamp("us", tz="UTC"))})
    assert [key is None for key in columns.encode(rows)] == [True, True, False]


def test_a_type_that_cannot_be_a_key_is_refused() -> None:
    with pytest.raises(ContractError, match="Float64"):
        KeyColumns([JoinKey("id", "Float64", "id")])


@given(st.lists(st.binary(max_size=20), max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_sample_is_part_of_a_larger_one(keys: list[bytes], one: float, other: float) -> None:
    small, large = (in_sample(keys, share) for share in sorted((one, other)))
    assert not (small & ~large).any()
    assert in_sample(keys, 1.0).all()
    assert not in_sample(keys, 0.0).any()


def test_the_sample_is_the_same_on_every_machine_and_about_as_large_as_asked() -> None:
    keys = [b"key %d" % number for number in range(10_000)]
    chosen = in_sample(keys, 0.1)
    assert [number for number in range(60) if chosen[number]] == PINNED
    assert 900 < chosen.sum() < 1100


PINNED = [2, 8, 30, 51]
