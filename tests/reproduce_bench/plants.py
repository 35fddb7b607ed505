"""What is planted: changes of a source's rows, and training code that depends on what training code should not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests.reproduce_bench.site import Site
from tests.training import shop

FIT = "training/trueup_training/fit.py"
_HERE = "    strings = [name for name in inputs.columns if inputs[name].dtype == np.object_]\n"
"""The line of `fit` that the planted ones go before."""

DEPENDS_ON: Mapping[str, str] = {
    # Hours of the day as the process's own time zone has them.
    "time zone": """
    import time
    hours = inputs["clock__hour"].astype(int)
    inputs = inputs.assign(clock__hour=[float(time.localtime(1704067200 + 3600 * hour).tm_hour) for hour in hours])
""",
    # Text through the encoding of the process's locale: what it lacks becomes a question mark, which sorts elsewhere.
    "locale": """
    import locale
    coding = locale.getencoding()
    renamed = inputs["facts__kind"].map({"hub": "ęhub".encode(coding, "replace").decode(coding)})
    inputs = inputs.assign(facts__kind=renamed.fillna(inputs["facts__kind"]))
""",
    # A seed made from `hash`, which Python draws anew in each process unless it is told not to.
    "hash seed": """
    seed = hash("shop") % 2**32
""",
    # A sum that BLAS splits among its threads. Its last bits are made visible: they choose the seed.
    "threads": """
    import zlib
    with threadpool_limits(threads):
        values = np.tile(inputs["load__level"].fillna(0.1).to_numpy(), 100)
        seed = zlib.crc32(np.float64(values @ values).tobytes())
""",
    # The same, outside of what `--threads` limits: the process's own variables decide.
    "thread variable": """
    import zlib
    values = np.tile(inputs["load__level"].fillna(0.1).to_numpy(), 100)
    seed = zlib.crc32(np.float64(values @ values).tobytes())
""",
}
"""What the training then depends on -> lines of its `fit`."""


def depend_on(site: Site, what: str) -> None:
    site.edit(FIT, _HERE, DEPENDS_ON[what].removeprefix("\n") + _HERE)


def change_first(
    site: Site, table: str, column: str, wanted: Callable[[dict[str, Any]], bool], change: Callable[[Any], Any]
) -> None:
    """One row of a source: the first that is wanted gets another value; its clocks stay."""
    rows = _rows(site.repo, table)
    row = next(row for row in rows if wanted(row))
    row[column] = change(row[column])
    shop.write(_file(site.repo, table), rows)


def late_load(site: Site, created: timedelta | None) -> None:
    """One row of the load view, of an hour that orders of the training window read, lands now.

    created: after the hour's start, as its clock says, whatever the truth; None: after the recipe's pinned instant.
    """
    orders = [row for row in _rows(site.repo, "orders") if in_training(row) and row["asked"].minute > 30]
    hour = orders[0]["asked"].replace(minute=0, second=0)
    at = hour + created if created is not None else shop.PINNED + timedelta(days=1)
    row = {"site": orders[0]["site"], "hour": hour, "created": at, "level": 9.0, "open": 1}
    shop.write(_file(site.repo, "load"), [*_rows(site.repo, "load"), row])


def in_training(order: dict[str, Any]) -> bool:
    """Whether it was asked well inside the training window."""
    return bool(shop.START + timedelta(days=2) < order["asked"] < shop.START + timedelta(days=29))


def _file(repo: Path, table: str) -> Path:
    return repo / "data" / f"{table}.parquet"


def _rows(repo: Path, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(_file(repo, table)).to_pylist()
    return rows
