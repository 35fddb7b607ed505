"""Comparing and classifying two Parquet tables of 10 million rows x 10 features, against scanning them and datacompy.

The floor is DuckDB reading and hashing every value of both files, with as many threads. Mismatches of every class that
a cell can have are seeded, and every way has to count them right before it is timed. (`type` is not seeded: it is a
class of whole columns.)
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.benches.measure import ProcessError, Timings, in_process, interleaved, machine, peak_mib

from trueup.parity.compare import Tolerance
from trueup.parity.tables.result import TableComparison
from trueup.parity.tables.run import compare_tables

ROWS = 10_000_000
SEED = 20131101
THREADS = 2
RATE = 0.002
"""Of the cells of a feature that get each of its mismatches."""
TOLERANCES = {"amount": Tolerance(absolute=0.006)}
PLANS = ("aligned", "keyed")
NANS = ("nan_left", "nan_right")
MODULE = "tests.benches.compare"


def bench(scale: float, directory: Path) -> list[dict[str, Any]]:
    rows = max(1000, int(ROWS * scale))
    in_process(MODULE, "write", str(directory), str(rows))
    timed = in_process(MODULE, "time", str(directory), str(5 if scale >= 0.1 else 1))
    found = []
    for plan in PLANS:
        peak = in_process(MODULE, "peak", str(directory), plan)
        context = {
            "rows": rows,
            "features": 10,
            "threads": THREADS,
            "peak_mib": peak,
            "processor_ratio_to_floor": timed["processor_ratios"][plan],
            "medians": timed["medians"],
            "machine": timed["machine"],
        }
        found.append(_row(f"compare {plan}", timed["ratios"][plan], context))
    return [*found, _datacompy(rows, directory)]


def _row(name: str, ratio_to_floor: float | None, context: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ratio_to_feast": None, "ratio_to_floor": ratio_to_floor, "equal": True, "context": context}


def _datacompy(rows: int, directory: Path) -> dict[str, Any]:
    """At the largest size it finishes: it holds both tables and their join in memory."""
    failed = {}
    for size in dict.fromkeys((rows, rows // 2, rows // 4, rows // 10)):
        folder = directory / str(size)
        folder.mkdir(exist_ok=True)
        try:
            if not (folder / "left.parquet").exists():
                in_process(MODULE, "write", str(folder), str(size))
            blind = in_process(MODULE, "blind", str(folder), "")
            runs: dict[str, list[list[float]]] = {"trueup": [], "datacompy": []}
            for _ in range(3 if size >= 1_000_000 else 1):  # a process each: the memory of one slows the other
                for way in runs:
                    runs[way].append(in_process(MODULE, "once", str(folder), way))
        except ProcessError as error:
            if not error.out_of_memory:
                raise
            failed[size] = str(error).splitlines()[-1]
            continue
        timings = Timings(*({way: [run[index] for run in runs[way]] for way in runs} for index in (0, 1)))
        context = {
            "rows": size,
            "times_as_fast_as_datacompy": timings.ratio("datacompy", "trueup"),
            "processor_ratio": timings.processor_ratio("datacompy", "trueup"),
            "medians": timings.medians(),
            "peak_mib": {way: max(run[2] for run in runs[way]) for way in runs},
            "mismatches_datacompy_does_not_see": blind,
            "did_not_finish": failed,
            "machine": machine("datacompy", "polars", "pyarrow"),
        }
        return _row("compare keyed, against datacompy", None, context)
    raise RuntimeError(f"datacompy finished at no size: {failed}")


def write(directory: Path, rows: int) -> None:
    """left, aligned (same rows in the same order) and shuffled; and what differs, counted as it is seeded."""
    rng = np.random.default_rng(SEED)
    routes = np.array([f"route-{index:05}" if index % 10 else f"caf\u00e9-{index:05}" for index in range(2000)])
    left: dict[str, pa.Array] = {"k": pa.array(np.arange(rows, dtype=np.int64) * 3)}
    right = dict(left)
    expected: dict[str, dict[str, int]] = {}

    def some() -> np.ndarray:
        return rng.permutation(rows)[: max(1, int(rows * RATE))]

    def numbers(name: str, values: np.ndarray, change: Callable[[np.ndarray], np.ndarray], *kinds: str) -> None:
        ones, others = values.copy(), values.copy()
        gone, gone_there = np.zeros(rows, bool), np.zeros(rows, bool)
        chosen = rng.permutation(rows)
        each = max(1, int(rows * RATE))
        expected[name] = {}
        for index, kind in enumerate(kinds):
            at = chosen[index * each : (index + 1) * each]
            expected[name][kind] = each
            if kind in ("value", "within"):
                others[at] = change(values[at]) if kind == "value" else values[at] + 0.005
            if kind == "both null":
                gone[at] = gone_there[at] = True
            if kind in ("null_left", "nan_right"):
                gone[at] = True
            if kind in ("null_right", "nan_left"):
                gone_there[at] = True
            if kind in ("nan_left", "both nan"):
                ones[at] = np.nan
            if kind in ("nan_right", "both nan"):
                others[at] = np.nan
        left[name] = pa.array(ones, mask=gone if gone.any() else None)
        right[name] = pa.array(others, mask=gone_there if gone_there.any() else None)

    def more(values: np.ndarray) -> np.ndarray:
        return values + 1

    numbers("score", rng.normal(size=rows), more, "value", "null_left", "null_right", "both null", "both nan")
    shares = rng.poisson(5, rows) / np.maximum(rng.poisson(30, rows), 1)
    numbers("rate", shares, more, "value", "nan_left", "nan_right")
    numbers("amount", np.round(rng.lognormal(4, 1, rows), 2), more, "value", "within", "null_left", "both null")
    numbers("latitude", rng.normal(40, 1, rows), more, "value")
    numbers("embedding", rng.normal(size=rows).astype(np.float32), more, "value", "nan_right")
    numbers("clicks", rng.poisson(20, rows).astype(np.int64), more, "value")
    numbers("visits", (rng.pareto(1.5, rows) * 10).clip(0, 2**30).astype(np.int32), more, "value", "null_right")
    numbers("device", rng.integers(1 << 53, 1 << 62, rows), more, "value")
    instants = rng.integers(1_380_000_000_000_000, 1_382_600_000_000_000, rows)
    numbers("seen", instants, more, "value", "null_left")
    for side in (left, right):
        side["seen"] = side["seen"].view(pa.timestamp("us", "UTC"))

    codes = rng.zipf(1.3, rows).clip(1, len(routes)).astype(np.int32) - 1
    # The right side's dictionary also has each route in normal form D.
    decomposed = np.array([route.replace("\u00e9", "e\u0301") for route in routes])
    others = codes.copy()
    at = some()
    others[at] = (codes[at] + 1) % len(routes)
    accented = np.flatnonzero((codes % 10 == 0) & (others == codes))[: len(at)]
    others[accented] += len(routes)
    expected["route"] = {"value": len(at), "normal_form": len(accented)}
    for side, chosen, words in ((left, codes, routes), (right, others, np.concatenate([routes, decomposed]))):
        side["route"] = pa.DictionaryArray.from_arrays(pa.array(chosen), pa.array(words)).cast(pa.string())

    whole = pa.table(right)
    pq.write_table(pa.table(left), directory / "left.parquet")
    pq.write_table(whole, directory / "aligned.parquet")
    pq.write_table(whole.take(pa.array(rng.permutation(rows))), directory / "keyed.parquet")
    (directory / "expected.json").write_text(json.dumps({"rows": rows, "features": expected}))


def ours(directory: Path, plan: str, tolerances: dict[str, Tolerance] | None = None) -> TableComparison:
    left, right = (str(directory / f"{name}.parquet") for name in ("left", plan))
    return compare_tables(left, right, keys=["k"], tolerances=tolerances or {}, threads=THREADS)


def check(directory: Path, found: TableComparison, plan: str) -> None:
    """Every seeded mismatch, in its class, and no other."""
    seeded = json.loads((directory / "expected.json").read_text())
    assert (found.plan, found.rows) == (plan, seeded["rows"])
    for name, kinds in seeded["features"].items():
        feature = found.features[name]
        got = {**feature.by_class, "within": feature.within_tolerance, "both null": feature.both_null}
        wanted = {kind: count for kind, count in kinds.items() if kind != "both nan"}
        assert {kind: count for kind, count in got.items() if count} == wanted, (name, got, wanted)


def scan(directory: Path, *names: str) -> Callable[[], Any]:
    """Every value of the files read and hashed by DuckDB."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {THREADS}")
    columns = pq.ParquetFile(directory / f"{names[0]}.parquet").schema_arrow.names
    hashes = ", ".join(f"bit_xor(hash({column}))" for column in columns)
    query = " UNION ALL ".join(
        f"SELECT {hashes} FROM read_parquet('{directory / name}.parquet', can_have_nan = true)" for name in names
    )
    return lambda: connection.execute(query).fetchall()


def timed(directory: Path, rounds: int) -> dict[str, Any]:
    for plan in PLANS:
        check(directory, ours(directory, plan, TOLERANCES), plan)
    ways: dict[str, Callable[[], Any]] = {}
    for plan in PLANS:
        ways[f"scan {plan}"] = scan(directory, "left", plan)
        ways[f"scan {plan}"]()
        ways[plan] = lambda plan=plan: ours(directory, plan, TOLERANCES)
    timings = interleaved(ways, rounds)
    return {
        "ratios": {plan: timings.ratio(plan, f"scan {plan}") for plan in PLANS},
        "processor_ratios": {plan: timings.processor_ratio(plan, f"scan {plan}") for plan in PLANS},
        "medians": timings.medians(),
        "machine": machine("duckdb", "pyarrow", "numpy"),
    }


def datacompy(directory: Path) -> dict[str, int]:
    """Mismatches a feature, as datacompy counts them."""
    import polars as pl
    from datacompy import PolarsCompare

    frames = [pl.read_parquet(directory / f"{name}.parquet") for name in ("left", "keyed")]
    found = PolarsCompare(*frames, join_columns="k")
    return {column["column"]: int(column["unequal_cnt"]) for column in found.column_stats}


def not_seen_by_datacompy(directory: Path) -> dict[str, int]:
    """Both count alike, but for what datacompy cannot see: it takes NaN for null, and integers for floats, so that
    beyond 2^53 a difference of one is none."""
    found, counted = ours(directory, "keyed"), datacompy(directory)
    missed = {name: feature.mismatched - counted[name] for name, feature in found.features.items()}
    blind = {name: sum(feature.by_class.get(kind, 0) for kind in NANS) for name, feature in found.features.items()}
    blind["device"] = missed["device"]
    assert missed == blind, (missed, blind)
    assert missed["device"] >= 0, missed
    return {name: count for name, count in missed.items() if count}


def once(directory: Path, way: str) -> list[float]:
    """Wall seconds, processor seconds and peak MiB of one run in this process, imports aside."""
    ways = {"trueup": lambda: ours(directory, "keyed"), "datacompy": lambda: datacompy(directory)}
    importlib.import_module("datacompy" if way == "datacompy" else "duckdb")
    timings = interleaved({way: ways[way]}, 1)
    return [timings.wall[way][0], timings.processor[way][0], peak_mib()]


def _main(way: str, directory: Path, argument: str) -> Any:
    match way:
        case "write":
            return write(directory, int(argument))
        case "time":
            return timed(directory, int(argument))
        case "blind":
            return not_seen_by_datacompy(directory)
        case "once":
            return once(directory, argument)
        case _:
            check(directory, ours(directory, argument, TOLERANCES), argument)
            return peak_mib()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])) + "\n")
