"""A report with every kind of result, to look at: made up, but as a week of flights would give it.

    python -m tests.browser.example build/example-report

Two served models with five causes, three views of the online store, replay, an on-demand view, 30 distributions and a
suite of expectations.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trueup.cli.parity.show import Outputs, write
from trueup.parity.compare import Counts, States
from trueup.parity.policy import Policy
from trueup.parity.report import Experiment, Report, VariantScores
from trueup.parity.results import (
    Bin,
    Bucket,
    Cell,
    Drift,
    DriftResult,
    Expectation,
    ExpectationResult,
    FeatureResult,
    Profile,
    Result,
    RoleResult,
    Sample,
)

START = datetime(2013, 11, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_VIEWS = {
    "origin_departures": ("mean_delay", "late_share", "cancelled", "departures", "p90_delay", "restated"),
    "carrier_origin": ("mean_delay", "late_share", "flights_7d"),
    "plane_last_flight": ("arrival_delay", "turnaround_minutes", "last_origin"),
    "route_history": ("mean_delay_30d", "median_air_time", "flights_30d", "cancel_rate"),
    "weather": ("wind_speed", "wind_gust", "visibility", "temp", "dewp", "pressure", "precip", "humid"),
    "plane": ("seats", "year", "engines", "manufacturer"),
    "crosswind": ("knots", "headwind"),
}
_FEATURES = tuple(f"{view}__{name}" for view, names in _VIEWS.items() for name in names)


def feature(compared: int, by_cause: Mapping[str, int], *, unexplained: int = 0, stale: int = 0) -> FeatureResult:
    """Each explained mismatch has one cause, but for the last pair of causes, which share their cells."""
    mismatched = (max(by_cause.values(), default=0) if len(by_cause) == 2 else sum(by_cause.values())) + unexplained
    counts = Counts(
        compared=compared,
        equal=compared - mismatched,
        stale_equal=stale,
        value=mismatched,
        served=States(compared // 90, compared // 400, 0),
        recomputed=States(compared // 90, compared // 400, compared // 700),
    )
    return FeatureResult("Float64", counts, unexplained, 0, by_cause)


def timeline(result: Mapping[str, FeatureResult], days: int, rng: random.Random) -> tuple[Bucket, ...]:
    totals: dict[str, int] = {}
    for feature in result.values():
        for cause, count in {**feature.by_cause, "unexplained": feature.unexplained}.items():
            totals[cause] = totals.get(cause, 0) + count
    buckets = []
    for index in range(days * 4):
        rows = int(260 * (1 + math.sin(index * math.pi / 2)) + 40)
        compared = rows * len(result)
        burst = 3 if index in (9, 10, 11) else 1
        share = rows / 300 / days / 4
        wave = {cause: int(burst * count * share * rng.uniform(0.6, 1.4)) for cause, count in totals.items()}
        found = {cause: count for cause, count in wave.items() if count}
        buckets.append(Bucket(START + index * 6 * _HOUR, rows, compared, min(sum(found.values()), compared), found))
    return tuple(buckets)


def sample(
    feature: str,
    causes: tuple[str, ...],
    number: int,
    served: tuple[Any, ...],
    recomputed: tuple[Any, ...],
    **other: Any,
) -> Sample:
    """served, recomputed: value or status, hours from the served instant of the event and of the known time."""
    at = START + timedelta(hours=31 + 7 * number, minutes=13 * number)

    def cell(side: tuple[Any, ...]) -> Cell:
        value, event, known = side
        state = value if value in ("null", "missing", "expired") else None
        times = [None if hours is None else at + timedelta(hours=hours) for hours in (event, known)]
        return Cell(None if state else value, state or "present", *times)

    return Sample(
        **{
            "feature": feature,
            "causes": causes,
            "keys": {"origin": ("EWR", "JFK", "LGA")[number % 3], "carrier": "UA"},
            "at": at,
            "served": cell(served),
            "recomputed": cell(recomputed),
            "request": f"UA{1545 + number}-EWR-{at:%Y%m%dT%H%MZ}",
            "row": 0,
            "role": "answer" if number % 2 else "shadow",
            "ttl": timedelta(hours=24),
            **other,
        }
    )


def _samples() -> tuple[Sample, ...]:
    late = [
        sample(
            "origin_departures__mean_delay",
            ("late_arrival",),
            n,
            (f"{8.5 + n}", -2 - n % 2, -0.9),
            (f"{13.25 + n}", -1, 0.4 + n),
        )
        for n in range(4)
    ]
    return (
        *late,
        sample("origin_departures__restated", ("late_arrival", "lag"), 4, ("3", -3, -2.5), ("11", -1, 5.5)),
        sample(
            "weather__wind_speed", ("lag",), 5, ("12.658580000000001", -3, -2.25), ("14.960140000000001", -1, -0.25)
        ),
        sample("weather__wind_gust", ("lag",), 6, ("null", -2, -1.5), ("23.0", -1, -0.1)),
        sample(
            "route_history__mean_delay_30d", ("ttl_not_enforced",), 7, ("4.75", -31, -30.5), ("expired", -31, -30.5)
        ),
        sample(
            "route_history__cancel_rate",
            ("ttl_not_enforced",),
            8,
            ("0.0125", -24.5, -24),
            ("expired", -24.5, -24),
            keys={"origin": "LGA", "dest": "ORD"},
        ),
        sample(
            "plane__seats",
            ("missing_online",),
            9,
            ("missing", None, None),
            ("149", -8000, -7999),
            ttl=None,
            keys={"tailnum": "N14228"},
        ),
        sample("weather__pressure", ("dtype_narrowing",), 10, ("1011.9000244140625", -1, -0.75), ("1011.9", -1, -0.75)),
        sample("crosswind__knots", ("lag",), 11, ("8.1", None, None), ("9.4", None, None), ttl=None),
        sample("carrier_origin__mean_delay", (), 12, ("99.0", -1, None), ("6.125", -1, -0.5), ttl=timedelta(days=90)),
        sample(
            "carrier_origin__late_share", (), 13, ("0.5", 0.25, None), ("0.25", -0.001, -0.0005), ttl=timedelta(hours=2)
        ),
    )


def _served(rng: random.Random) -> tuple[Result, Result]:
    rows = 41_236
    causes: dict[str, dict[str, int]] = {
        "origin_departures__mean_delay": {"late_arrival": 24_310},
        "origin_departures__late_share": {"late_arrival": 21_877},
        "origin_departures__p90_delay": {"late_arrival": 19_402},
        "origin_departures__restated": {"late_arrival": 6_120, "lag": 6_120},
        "weather__wind_speed": {"lag": 3_218},
        "weather__wind_gust": {"lag": 2_904},
        "weather__pressure": {"dtype_narrowing": 1_733},
        "route_history__mean_delay_30d": {"ttl_not_enforced": 612},
        "route_history__cancel_rate": {"ttl_not_enforced": 598},
        "plane__seats": {"missing_online": 214},
    }
    features = {
        name: feature(
            rows,
            causes.get(name, {}),
            unexplained={"carrier_origin__mean_delay": 37}.get(name, 0),
            stale=rng.randrange(900),
        )
        for name in _FEATURES
    }
    leaky = Result(
        "served",
        "flights_leaky",
        "3",
        "unbounded",
        "flights_v1",
        "9f" * 32,
        rows,
        features,
        uncompared={"no instant": 12, "of another contract": 340},
        roles={"answer": RoleResult(20_618, 500_000, 41_000, 20), "shadow": RoleResult(20_618, 500_000, 40_100, 17)},
        timeline=timeline(features, 7, rng),
        samples=_samples(),
        notes={"own rule": "recomputed under the rule it was trained by; under `served` 4,212 values would differ"},
    )
    calm = {
        name: feature(
            rows, {"lag": count} if (count := {"weather__temp": 31, "weather__humid": 18}.get(name, 0)) else {}
        )
        for name in _FEATURES
    }
    fixed = Result(
        "served",
        "flights_pit",
        "5",
        "served",
        "flights_v1",
        "9f" * 32,
        rows,
        calm,
        timeline=timeline(calm, 7, rng),
        samples=tuple(
            sample("weather__temp", ("lag",), n, (f"{52 + n}.0", -2, -1.5), (f"{53 + n}.1", -1, -0.2)) for n in range(2)
        ),
        policy=Policy(("unexplained", "late_arrival"), {"weather__temp": 0.001}),
    )
    return leaky, fixed


def _online() -> tuple[Result, ...]:
    def view(name: str, by_cause: Mapping[str, int], samples: tuple[Sample, ...] = ()) -> Result:
        features = {f"{name}__{each}": feature(3_322, by_cause if not i else {}) for i, each in enumerate(_VIEWS[name])}
        return Result("online", name, None, "served", "flights_v1", "9f" * 32, 3_322, features, samples=samples)

    gone = sample(
        "plane_last_flight__arrival_delay",
        ("missing_offline",),
        2,
        ("17.0", -400, None),
        ("missing", None, None),
        request=None,
        role=None,
        row=None,
        keys={"tailnum": "N0EGMQ"},
        ttl=timedelta(days=7),
    )
    return view("weather", {}), view("carrier_origin", {}), view("plane_last_flight", {"missing_offline": 61}, (gone,))


def _numbers(rng: random.Random, shift: float, scale: float = 1.0) -> tuple[Bin, ...]:
    """Twenty ranges, a point mass at zero and the nulls."""
    edges = [None, *(round(-40 + 8 * index, 2) for index in range(19)), None]
    bins = []
    for index in range(20):
        weight = [math.exp(-(((index - 8 - move) / (4 * wide)) ** 2)) for move, wide in ((0.0, 1.0), (shift, scale))]
        low, high = edges[index], edges[index + 1]
        label = f"[{'-∞' if low is None else low}, {'∞' if high is None else high})"
        counts = [int(9_000 * each * rng.uniform(0.95, 1.05)) for each in weight]
        bins.append(Bin(label, counts[0] * 3, counts[1], low, high))
    return (*bins, Bin("= 0", 9_000, 2_900, 0.0, 0.0), Bin("null", 2_400, int(800 * (1 + 4 * abs(shift)))))


def drift(name: str, rng: random.Random, *, drifted: bool) -> Drift:
    if name == "plane__manufacturer":
        names = ("BOEING", "EMBRAER", "AIRBUS INDUSTRIE", "AIRBUS", "BOMBARDIER INC", "MCDONNELL DOUGLAS", "CESSNA")
        bins = [Bin(each, 30_000 // (i + 1), 10_400 // (i + 1)) for i, each in enumerate(names)]
        bins += [Bin("Airbus S.A.S.", 0, 2_210), Bin("DOUGLAS", 410, 0), Bin("null", 120, 35)]
        sides = [
            Profile(sum(getattr(each, side) for each in bins), null=120, distinct=9)
            for side in ("reference", "current")
        ]
        return Drift(
            "String",
            sides[0],
            sides[1],
            True,
            0.0002,
            0.003,
            {"null_rate": 0.0001, "js": 0.118, "categories": 0.046},
            {"null_rate": 0.002, "js": 0.021, "categories": 0.001},
            ("5.4 % of the rows have a category that the reference never had: Airbus S.A.S.",),
            (("Airbus S.A.S.", 2_210),),
            (("DOUGLAS", 410),),
            tuple(bins),
        )
    shift = rng.uniform(1.5, 3.5) if drifted else rng.uniform(-0.05, 0.05)
    bins = list(_numbers(rng, shift))
    quantiles = [
        {
            key: round(12.5 * index - 40 + 8 * move, 3)
            for index, key in enumerate(("min", "p01", "p25", "p50", "p75", "p99", "max"))
        }
        for move in (0.0, shift)
    ]
    sides = [
        Profile(sum(getattr(each, side) for each in bins), null=getattr(bins[-1], side), outliers=out, quantiles=each)
        for side, each, out in zip(("reference", "current"), quantiles, (0, 41 if drifted else 0), strict=True)
    ]
    size = abs(shift) / 10
    distances = {
        "null_rate": size / 10,
        "psi": size,
        "js": size / 2,
        "ks": size * 0.8,
        "wasserstein": shift * 8 if drifted else 0.21,
    }
    limits = {"null_rate": 0.006, "psi": 0.031, "js": 0.018, "ks": 0.022, "wasserstein": 0.94}
    reasons = (
        (f"The middle moved by {8 * shift:.3g}, and {100 * size / 10:.2g} points more rows are null.",)
        if drifted
        else ()
    )
    p_value = 0.0004 if drifted else rng.uniform(0.05, 1)
    return Drift(
        "Float64",
        sides[0],
        sides[1],
        drifted,
        p_value,
        min(1.0, p_value * 4),
        distances,
        limits,
        reasons,
        bins=tuple(bins),
    )


def _distribution(rng: random.Random) -> DriftResult:
    moved = {"weather__wind_gust", "weather__visibility", "origin_departures__mean_delay", "plane__manufacturer"}
    return DriftResult(
        "distribution",
        "flights_pit",
        "5",
        "training set of flights_pit@5",
        "served 2013-11-01 to 2013-11-08",
        98_400,
        32_800,
        "flights_v1",
        "9f" * 32,
        {"false_alarm_rate": 0.01, "min_effect": 0.02},
        {name: drift(name, rng, drifted=name in moved) for name in _FEATURES},
        {"too few rows": 1},
    )


def _expectations() -> ExpectationResult:
    found = [Expectation("expect_table_columns_to_match_set", None, "30 columns", True, 41_236, 0)]
    for index, name in enumerate(_FEATURES):
        bad = {4: 212, 17: 3}.get(index, 0)
        observed = f"{bad / 412.36:.3g} % unexpected, such as -999.0" if bad else None
        found.append(
            Expectation(
                "expect_column_values_to_be_between",
                name,
                "min_value=-60.5, max_value=211.0",
                not bad,
                41_236,
                bad,
                observed,
            )
        )
    return ExpectationResult(
        "expectations",
        "flights_pit",
        "5",
        "flights_pit@5",
        41_236,
        "flights_v1",
        "9f" * 32,
        tuple(found),
        data_docs="data_docs/index.html",
    )


def example() -> Report:
    rng = random.Random(7)
    leaky, fixed = _served(rng)
    replay = Result(
        "replay",
        "flights_pit",
        "5",
        None,
        "flights_v1",
        "9f" * 32,
        41_236,
        {"prediction": feature(41_236, {})},
        notes={"PIT features": "predict within 0.0004 of the logged ones on average"},
    )
    transforms = Result(
        "transforms",
        "crosswind",
        None,
        None,
        "flights_v1",
        None,
        2_000,
        {
            "crosswind__knots": feature(2_000, {}),
            "crosswind__headwind": feature(2_000, {}),
        },
    )
    missing = Result(
        "replay",
        "flights_leaky",
        "3",
        None,
        None,
        None,
        0,
        uncompared={"could not run": 41_236},
        problem="model 'flights_leaky'@3 has no estimator: its files are gone. Train it again.",
    )
    return Report(
        datetime(2013, 11, 8, 6, tzinfo=UTC),
        datetime(2013, 11, 8, 6, 2, 41, tzinfo=UTC),
        (leaky, fixed, *_online(), replay, missing, transforms, _distribution(rng), _expectations()),
        {"trueup": "0.1.0", "feast": "0.67.0", "duckdb": "2.0.0", "pyarrow": "25.0.0", "numpy": "2.4.6"},
        {"feature repository": "feature_repo", "served log": "build/served", "ledger": "data/ledger.sqlite"},
        Experiment(
            "What it cost",
            "flights_leaky@3 won offline and lost online: it learned from delays that nobody knew at the time.",
            (
                VariantScores("control (flights_pit@5)", 20_618, 0.7232, 0.7218, 0.4981, 0.4990),
                VariantScores("treatment (flights_leaky@3)", 20_618, 0.7491, 0.7036, 0.4812, 0.5240),
            ),
        ),
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    forms = {"report": "html", "json_file": "json", "markdown": "md", "junit": "xml", "prometheus": "prom"}
    write(example(), Outputs(**{form: folder / f"parity.{suffix}" for form, suffix in forms.items()}))
