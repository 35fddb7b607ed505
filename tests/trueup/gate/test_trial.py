"""What a trial tells of the server's log, where a started server is not needed to ask it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from trueup.frame import EVENT_TIME, STATUS, FeatureFrame, Status
from trueup.gate.trial import rows_known


@pytest.mark.parametrize(
    ("a", "b", "known"),
    [
        ([Status.MISSING, Status.MISSING], [Status.MISSING, Status.MISSING], 0),
        ([Status.EXPIRED, Status.MISSING], [Status.EXPIRED, Status.MISSING], 1),
        ([Status.PRESENT, Status.MISSING], [Status.MISSING, Status.NULL], 2),
    ],
)
def test_a_row_is_known_where_the_store_had_any_feature_of_it_fresh_or_not(
    a: list[Status], b: list[Status], known: int
) -> None:
    frame = FeatureFrame(
        pa.table({name: pa.nulls(2, pa.int64()) for name in ("v__a", "v__b")}),
        pa.table({"v__a": pa.array(map(int, a), STATUS), "v__b": pa.array(map(int, b), STATUS)}),
        pa.table({"v": pa.nulls(2, EVENT_TIME)}),
    )
    assert rows_known(frame, ["v__a", "v__b"]) == known
