"""Replies to many HMGETs read as columns are what hiredis reads of them one by one."""

from __future__ import annotations

import pytest
import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from trueup.errors import StoreError
from trueup.stores.redis_replies import columns_of_replies
from trueup.stores.redis_rows import ENTITIES_A_SEND, replies_of
from trueup.stores.value_columns import Raws

VALUES = st.none() | st.binary(max_size=12) | st.sampled_from([b"*2\r\n$1\r\n", b"$-1\r\n", b"x" * 130, b""])
ROWS = st.integers(1, 3).flatmap(lambda fields: st.lists(st.tuples(*[VALUES] * fields), min_size=1, max_size=5))


def reply(row: tuple[bytes | None, ...]) -> bytes:
    items = [b"$-1\r\n" if item is None else b"$%d\r\n%b\r\n" % (len(item), item) for item in row]
    return b"*%d\r\n" % len(row) + b"".join(items)


def items(columns: list[Raws]) -> list[list[bytes | None]]:
    return [column.items() for column in columns]


@settings(max_examples=300)
@given(ROWS)
@example([(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", None), (b"", b"*2\r\n$")])
def test_columns_are_the_replies_turned_around(rows: list[tuple[bytes | None, ...]]) -> None:
    columns = columns_of_replies(b"".join(map(reply, rows)), len(rows), len(rows[0]))
    assert items(columns) == [list(column) for column in zip(*rows, strict=True)]


def test_no_keys_are_empty_columns() -> None:
    assert items(columns_of_replies(b"", 0, 2)) == [[], []]


def test_nil_of_the_third_protocol_is_none() -> None:
    assert items(columns_of_replies(b"*2\r\n_\r\n$1\r\na\r\n", 1, 2)) == [[None], [b"a"]]


@pytest.mark.parametrize(
    "replies", [b"-WRONGTYPE not a hash\r\n", b":1\r\n", b"*1\r\n$1\r\na\r\n", b"*2\r\n$1\r\na\r\n$9\r\nb\r\n"]
)
def test_what_is_no_answer_to_an_hmget_is_an_error(replies: bytes) -> None:
    with pytest.raises(ResponseError):
        columns_of_replies(replies, 1, 2)


def test_a_real_server_answers_every_key_in_order(redis_client: redis.Redis) -> None:
    number = 2 * ENTITIES_A_SEND + 7
    keys = [b"key %d" % place for place in range(number)]
    with redis_client.pipeline(transaction=False) as pipe:
        for place, key in enumerate(keys):
            if place % 3:
                pipe.hset(key, mapping={b"a": b"%d" % place, b"c": b"\r\n$"})
        pipe.execute()
    columns = columns_of_replies(replies_of(redis_client, keys, [b"a", b"b", b"c"]), number, 3)
    assert items(columns) == [
        [b"%d" % place if place % 3 else None for place in range(number)],
        [None] * number,
        [b"\r\n$" if place % 3 else None for place in range(number)],
    ]
    assert replies_of(redis_client, [], [b"a"]) == b""


def test_a_key_of_another_kind_is_an_error_and_the_connection_stays_usable(redis_client: redis.Redis) -> None:
    redis_client.set("text", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        columns_of_replies(replies_of(redis_client, [b"text"], [b"a"]), 1, 1)
    assert redis_client.get("text") == b"x"


def test_a_server_that_is_gone_is_a_store_error() -> None:
    with redis.Redis(port=1) as client, pytest.raises(StoreError, match="cannot be reached"):
        replies_of(client, [b"k"], [b"f"])
