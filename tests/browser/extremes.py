"""Reports at the edge: one large, one with names and numbers meant to break it."""

from __future__ import annotations

import math
import random
from datetime import timedelta

from tests.browser.example import START, drift, feature, sample, timeline

from trueup.parity.compare import Counts
from trueup.parity.report import Experiment, Report, VariantScores
from trueup.parity.results import (
    Bin,
    Drift,
    DriftResult,
    Expectation,
    ExpectationResult,
    FeatureResult,
    Profile,
    Result,
    RoleResult,
)

HOSTILE = (
    "</script><script>alert('x')</script><img src=x onerror=alert(1)>",
    "a_feature_with_a_name_that_never_ends__" * 6,
    "مطار_نيويورك__تأخير",
    "\u202eevil\u2066 | `code` **bold** \x1b[31m\x00",
    "{{ 7 * 7 }} & \"quotes\" 'single' <b>",
)


def large() -> Report:
    """50 features, four results, six causes."""
    rng = random.Random(11)
    causes = ("late_arrival", "lag", "ttl_not_enforced", "dtype_narrowing", "missing_online", "expired")
    results = []
    for number in range(4):
        features = {
            f"view_{index // 10}__feature_{index:02}": feature(
                10**9 + index, {causes[index % 6]: 1_000 * index + number}, unexplained=index
            )
            for index in range(50)
        }
        samples = tuple(
            sample(f"view_0__feature_{n:02}", (causes[n % 6],), n % 20, ("1.5", -3, -2), ("2.5", -1, 1))
            for n in range(36)
        )
        results.append(
            Result(
                "served",
                f"model_{number}",
                "1",
                "unbounded",
                "big",
                "ab" * 32,
                10**9,
                features,
                timeline=timeline(features, 14, rng),
                samples=samples,
            )
        )
    drifts = [
        DriftResult(
            "distribution",
            f"model_{n}",
            "1",
            "training",
            "served",
            10**9,
            10**9,
            features={f"view__feature_{index:02}": drift("x", rng, drifted=index % 7 == 0) for index in range(50)},
        )
        for n in range(4)
    ]
    return Report(START, START + timedelta(hours=1), (*results, *drifts))


def hostile() -> Report:
    """Long, right-to-left, marked-up and unprintable names, and the largest numbers."""
    huge = 10**15
    samples = tuple(
        sample(name, (), n, (name, -(10**6), -(10**6)), (name, 10**-9, 50), keys={name: name}, request=name)
        for n, name in enumerate(HOSTILE)
    )
    features = {
        name: FeatureResult("Float64", Counts(huge, huge - 7, value=7, uncompared={name: huge}), 7) for name in HOSTILE
    }
    moved = Drift(
        "Float64",
        Profile(huge, quantiles={"min": -1e308, "max": math.inf}),
        Profile(huge, nan=3),
        True,
        math.nan,
        math.inf,
        {"psi": math.inf, "ks": 1e300, "js": math.nan},
        {"psi": 1e-300, "ks": math.inf},
        HOSTILE,
        ((HOSTILE[0], 3),),
        (),
        (*(Bin(name, 1, huge) for name in HOSTILE), Bin("all", 1, 1, -1e308, 1e308), Bin("x", 0, 0, 1e308, None)),
    )
    results = [
        Result(
            "served",
            name,
            name,
            name,
            name,
            name,
            huge,
            features,
            {name: huge},
            {name: RoleResult(1, 1, 1, 1)},
            samples=samples,
            notes={name: name},
        )
        for name in HOSTILE[:2]
    ]
    return Report(
        START,
        START,
        (
            *results,
            DriftResult(
                "distribution",
                HOSTILE[2],
                None,
                HOSTILE[1],
                HOSTILE[0],
                huge,
                huge,
                features=dict.fromkeys(HOSTILE, moved),
            ),
            ExpectationResult(
                "expectations",
                HOSTILE[3],
                "1",
                HOSTILE[1],
                5,
                expectations=tuple(Expectation(name, name, name, False, huge, huge, name) for name in HOSTILE),
                data_docs="javascript:alert(1)",
            ),
        ),
        facts={name: name for name in HOSTILE},
        experiment=Experiment(HOSTILE[0], HOSTILE[1], (VariantScores(HOSTILE[1], 1, 0.5, 0.5, 0.5, 0.5),)),
    )
