from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trueup.wording import LONGEST, changed, counted


def test_one_is_one_and_thousands_have_a_comma() -> None:
    assert [counted(number, "row") for number in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]


def test_long_texts_are_shown_where_they_begin_to_differ() -> None:
    same = "SELECT " + "column, " * 40
    said = changed(f"{same}a FROM t", f"{same}b FROM t")
    assert said == f"...{same[-40:]}a FROM t -> ...{same[-40:]}b FROM t"
    assert changed("1 day", "2 days") == "1 day -> 2 days"


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_a_change_is_seen_however_long_the_texts_are(before: str, one: str, other: str) -> None:
    left, _, right = changed(f"{before}{one}", f"{before}{other}").partition(" -> ")
    assert len(left) + len(right) <= 10 * LONGEST
    if " -> " not in before + one + other:
        assert (left == right) is (one == other)
