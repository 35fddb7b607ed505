"""Changes of the shop's data, as they happen in life: rows that land late, are restated, or come again."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests.training import shop


def load_lands_late(repo: Path, created: datetime) -> None:
    """Every hour of one site is restated, as of `created`."""
    path = repo / "data" / "load.parquet"
    rows = pq.read_table(path).to_pylist()
    again = [{**row, "level": 99.0, "created": created} for row in rows if row["site"] == "Oslo" and _last(row)]
    shop.write(path, [*rows, *again])


def _last(row: dict[str, Any]) -> bool:
    return bool(row["created"] - row["hour"] > timedelta(minutes=2))


def orders_land_late(repo: Path, known: datetime) -> None:
    """Answers known at `known`: of new orders, and once more of orders that have one."""
    path = repo / "data" / "orders.parquet"
    rows = pq.read_table(path).to_pylist()
    new = [{**row, "order_id": f"n{row['order_id']}", "known": known} for row in rows[:50]]
    again = [{**row, "late": not row["late"], "known": known} for row in rows[50:100]]
    shop.write(path, [*rows, *new, *again])


def restate(repo: Path, table: str, column: str, change: Any) -> None:
    """change: row -> new value of the column; created times stay as they are."""
    path = repo / "data" / f"{table}.parquet"
    shop.write(path, [{**row, column: change(row)} for row in pq.read_table(path).to_pylist()])
