"""SQL that pairs the rows of two tables by key, text only. Run by `keys`."""

from __future__ import annotations


def pairs_sql(left: str, right: str, keys: int) -> str:
    """One row a key: the row of it on each side (null without one) and how many rows have it there.

    left, right: relations of `row` and `k0`, `k1`, ... without nulls. Linear in the rows whatever the keys are: a join
    would pair every duplicate with every other.
    """
    columns = ", ".join(f"k{index}" for index in range(keys))
    return f"""
        SELECT
            min("row") FILTER (is_left) AS left_row,
            min("row") FILTER (NOT is_left) AS right_row,
            count(*) FILTER (is_left) AS left_count,
            count(*) FILTER (NOT is_left) AS right_count
        FROM (
            SELECT "row", {columns}, true AS is_left FROM {left}
            UNION ALL
            SELECT "row", {columns}, false AS is_left FROM {right}
        )
        GROUP BY {columns}
    """
