"""Distributions of two Parquet files of 10 float columns: null rates, quantiles, PSI, JS, KS and Wasserstein of each.

Beside a scan of the same files (the floor: every value is read and added up) and beside scipy on whole columns.
First the results are held against scipy's: KS and Wasserstein within the error that each states.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import stats

from trueup.frame import FeatureFrame, Status
from trueup.parity.distribution.columns import Side, sides
from trueup.parity.distribution.distances import kolmogorov_smirnov, wasserstein
from trueup.parity.distribution.histogram import align
from trueup.parity.distribution.profiles import spread
from trueup.parity.distribution.settings import DriftSettings
from trueup.parity.distribution.verdict import Pair, judge
from trueup.parity.results import Drift

ROWS = 10_000_000
FEATURES = 10
BATCH_ROWS = 1 << 19
ROUNDS = 3
NULLS = 0.01


def bench(scale: float, directory: Path) -> list[dict[str, Any]]:
    """scale: of 10 million rows. Medians of interleaved rounds; ratios are times of the other over ours or ours over
    the scan, as named."""
    rows = max(int(ROWS * scale), 1000)
    files = [_write(directory / f"{name}.parquet", rows, seed) for seed, name in enumerate(("reference", "current"))]
    drifts, pairs = _ours(files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # before scipy holds whole columns
    worst = _check(files, drifts, pairs)
    timed: dict[str, list[tuple[float, float]]] = {name: [] for name in ("scan", "count", "ours", "scipy")}
    ways: dict[str, Callable[[], Any]] = {
        "scan": lambda: _scan(files),
        "count": lambda: [_counted(path) for path in files],
        "ours": lambda: _ours(files),
        "scipy": lambda: _scipy(files),
    }
    for number in range(ROUNDS):
        for name, way in ways.items():
            if name == "scipy" and number:
                continue  # it takes as long as all the others together
            start, busy = time.perf_counter(), time.process_time()
            way()
            timed[name].append((time.perf_counter() - start, time.process_time() - busy))
    seconds, cpu = (
        {name: float(np.median([both[place] for both in values])) for name, values in timed.items()} for place in (0, 1)
    )
    return [
        {
            "name": f"distribution of {FEATURES} features",
            "ratio_to_feast": None,
            "ratio_to_floor": seconds["ours"] / seconds["scan"],
            "equal": True,
            "context": {
                "rows": rows,
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
                "cpu_seconds": {name: round(value, 3) for name, value in cpu.items()},
                "cpu_to_scan": round(cpu["ours"] / cpu["scan"], 2),
                "count_to_scan": round(seconds["count"] / seconds["scan"], 2),
                "scipy_to_ours": round(seconds["scipy"] / seconds["ours"], 2),
                "largest_error_of_its_bound": worst,
                "peak_mib": peak,
            },
        }
    ]


def _write(path: Path, rows: int, seed: int) -> Path:
    """Normal, heavy-tailed, log-normal and rounded columns, some values null. No float statistics: see
    `trueup.stores.parquet_files`."""
    random = np.random.default_rng(seed)
    schema = pa.schema({f"v__f{number}": pa.float64() for number in range(FEATURES)})
    with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=False) as writer:
        for start in range(0, rows, BATCH_ROWS):
            size = min(BATCH_ROWS, rows - start)
            columns = []
            for number in range(FEATURES):
                values = (
                    random.normal(5, 2, size),
                    random.standard_t(2, size),
                    random.lognormal(0, 2, size),
                    np.round(random.exponential(10, size), 1),
                )[number % 4] * (1 + 0.02 * seed * (number % 3))
                columns.append(pa.array(values, mask=random.random(size) < NULLS))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=BATCH_ROWS)
    return path


def _batches(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def _frames(path: Path) -> Iterator[FeatureFrame]:
    for table in _batches(path):
        statuses = {
            name: pc.if_else(table[name].is_valid(), pa.scalar(int(Status.PRESENT), pa.int8()), int(Status.NULL))
            for name in table.column_names
        }
        yield FeatureFrame(table, pa.table(statuses), pa.table({}))


def _scan(files: list[Path]) -> float:
    return sum(pc.sum(column).as_py() for path in files for table in _batches(path) for column in table.columns)


def _counted(path: Path) -> dict[str, Side]:
    return sides(_frames(path))


def _ours(files: list[Path]) -> tuple[dict[str, Drift], dict[str, Pair]]:
    """The whole check: counted, binned, resampled and judged."""
    reference, current = (_counted(path) for path in files)
    pairs = {name: Pair.of(side, current[name]) for name, side in reference.items()}
    return judge(pairs, DriftSettings()), pairs


def _columns(files: list[Path]) -> Iterator[tuple[str, list[np.ndarray[Any, Any]]]]:
    for name in pq.read_schema(files[0]).names:
        yield name, [pq.read_table(path, columns=[name])[name].drop_null().to_numpy() for path in files]


def _scipy(files: list[Path]) -> list[tuple[float, ...]]:
    """The same distances on whole columns: exact, and in memory. Without resampling."""
    found = []
    for _, (a, b) in _columns(files):
        edges = np.unique(np.quantile(np.concatenate([a, b]), np.linspace(0, 1, 21)))
        p, q = ((np.histogram(side, edges)[0] + 0.5) / (len(side) + 0.5 * (len(edges) - 1)) for side in (a, b))
        psi = float(((q - p) * np.log(q / p)).sum())
        found.append((psi, stats.ks_2samp(a, b, method="asymp").statistic, stats.wasserstein_distance(a, b)))
    return found


def _check(files: list[Path], drifts: dict[str, Drift], pairs: dict[str, Pair]) -> float:
    """The largest part of its stated error that a distance was off by; raises when one was off by more."""
    worst = 0.0
    for name, (a, b) in _columns(files):
        pair = pairs[name]
        numbers = align(pair.reference.whole.numbers, pair.current.whole.numbers)
        unit = spread(pair.reference.whole.numbers)
        exact = stats.ks_2samp(a, b, method="asymp").statistic, stats.wasserstein_distance(a, b) / unit.unit
        for (value, error), truth in zip((kolmogorov_smirnov(numbers), wasserstein(numbers, unit)), exact, strict=True):
            if abs(value - truth) > error + 1e-9:
                raise AssertionError(f"{name}: {value} is not {truth} within {error}")
            worst = max(worst, abs(value - truth) / error if error else 0.0)
        rows = drifts[name].reference.rows - drifts[name].reference.null
        if rows != len(a):
            raise AssertionError(f"{name}: {rows} values counted, {len(a)} there are")
    return round(worst, 3)
