"""What each check found, as data. All instants are aware UTC.

Three shapes: cells that should be the same (`Result`: online, served, replay, transforms), distributions that should
be alike (`DriftResult`), and expectations that should hold (`ExpectationResult`). Each knows its verdict.

Counts are of cells (one feature of one row) unless they say rows. A mismatch with two causes counts under both, so
causes can add up to more than there are mismatches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from trueup.parity.causes import CAUSES, UNEXPLAINED
from trueup.parity.compare import Counts, add_counts
from trueup.parity.policy import STRICT, Policy

Verdict = Literal["pass", "fail", "could not run"]

CellCheck = Literal["online", "served", "replay", "transforms"]
Check = CellCheck | Literal["distribution", "expectations"]
CHECKS: tuple[Check, ...] = ("online", "served", "distribution", "replay", "transforms", "expectations")

EXIT_CODES: Mapping[Verdict, int] = {"pass": 0, "fail": 1, "could not run": 2}
"""What a command exits with. A comparison of nothing is not a pass."""


@dataclass(frozen=True)
class FeatureResult:
    """One feature. unexplained: mismatches without any cause. during_materialization: equal only to what a run
    under way at the row's instant was writing."""

    dtype: str
    counts: Counts = field(default_factory=Counts)
    unexplained: int = 0
    during_materialization: int = 0
    by_cause: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: FeatureResult) -> FeatureResult:
        return FeatureResult(
            dtype=self.dtype,
            counts=self.counts + other.counts,
            unexplained=self.unexplained + other.unexplained,
            during_materialization=self.during_materialization + other.during_materialization,
            by_cause=ordered_causes(add_counts(self.by_cause, other.by_cause)),
        )


@dataclass(frozen=True)
class Cell:
    """One side of a sample. value: as text, null unless the status is `present`.

    created: since when the source has had this very value at this event time; null where it has not, or does not say.
    """

    value: str | None
    status: str
    event_time: datetime | None
    created: datetime | None = None


@dataclass(frozen=True)
class Sample:
    """A mismatching cell with both clocks of both sides. at: the instant it was served. ttl: of the feature's view;
    None where it has none or the feature is computed on demand."""

    feature: str
    causes: tuple[str, ...]
    keys: Mapping[str, str]
    at: datetime
    served: Cell
    recomputed: Cell
    request: str | None = None
    row: int | None = None
    role: str | None = None
    ttl: timedelta | None = None


@dataclass(frozen=True)
class RoleResult:
    """Rows in which the model answered, or was scored as a shadow only."""

    rows: int
    compared: int
    mismatched: int
    unexplained: int

    def __add__(self, other: RoleResult) -> RoleResult:
        return RoleResult(
            self.rows + other.rows,
            self.compared + other.compared,
            self.mismatched + other.mismatched,
            self.unexplained + other.unexplained,
        )


@dataclass(frozen=True)
class Bucket:
    """Cells of rows served within [start, start of the next bucket). by_cause: cause -> cells, `unexplained` among them
    and last; only those that were found."""

    start: datetime
    rows: int
    compared: int
    mismatched: int
    by_cause: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One subject of a check whose cells should be the same: a model (`served`, `replay`), a feature view (`online`)
    or an on-demand view (`transforms`).

    known_at: the rule its rows were recomputed under. contract: hash of the contract. rows: how many were
    compared. uncompared: reason -> rows that could not be. roles: served only. timeline: served only, in
    order, without gaps. notes: label -> what else was found and decides nothing. policy: what its verdict goes by.
    problem: why it, or a part of its rows, could not run: then it is no pass.
    """

    check: CellCheck
    subject: str
    version: str | None
    known_at: str | None
    service: str | None
    contract: str | None
    rows: int
    features: Mapping[str, FeatureResult] = field(default_factory=dict)
    uncompared: Mapping[str, int] = field(default_factory=dict)
    roles: Mapping[str, RoleResult] = field(default_factory=dict)
    timeline: tuple[Bucket, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = STRICT
    problem: str | None = None

    @property
    def label(self) -> str:
        return self.subject if self.version is None else f"{self.subject}@{self.version}"

    @property
    def counts(self) -> Counts:
        return sum((feature.counts for feature in self.features.values()), Counts())

    @property
    def compared(self) -> int:
        return self.counts.compared

    @property
    def mismatched(self) -> int:
        return self.counts.mismatched

    @property
    def unexplained(self) -> int:
        return sum(feature.unexplained for feature in self.features.values())

    @property
    def during_materialization(self) -> int:
        return sum(feature.during_materialization for feature in self.features.values())

    @property
    def by_cause(self) -> dict[str, int]:
        """Cause -> cells, in the causes' order; `unexplained` is not among them."""
        return _sum_causes(feature.by_cause for feature in self.features.values())

    @property
    def verdict(self) -> Verdict:
        """A mismatch found stays found, whatever else could not be compared."""
        if self.failing:
            return "fail"
        return "could not run" if self.problem is not None or not self.compared else "pass"

    @property
    def failing(self) -> tuple[str, ...]:
        """Features that fail the result under its policy."""
        return tuple(
            name
            for name, feature in self.features.items()
            if self.policy.fails(
                name,
                compared=feature.counts.compared,
                mismatched=feature.counts.mismatched,
                by_cause={**feature.by_cause, UNEXPLAINED: feature.unexplained},
            )
        )

    def summary(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "rows": self.rows,
            "compared": self.compared,
            "mismatched": self.mismatched,
            "unexplained": self.unexplained,
            "by_cause": self.by_cause,
            "stale_equal": self.counts.stale_equal,
            "forgotten": self.counts.forgotten,
            "during_materialization": self.during_materialization,
            "uncompared": dict(self.uncompared),
        }


@dataclass(frozen=True)
class Profile:
    """One side of a feature's distribution.

    rows: all of them, the states included. null, missing, expired: by state (a training set knows no more than null).
    nan, infinite, outliers: among the values; an outlier lies outside the reference's own range as `Drift` states it.
    quantiles: name (`min`, `p01`, `p25`, `p50`, `p75`, `p99`, `max`) -> value, of the finite numbers (of
    instants microseconds since 1970); empty for others.
    """

    rows: int
    null: int = 0
    missing: int = 0
    expired: int = 0
    nan: int = 0
    infinite: int = 0
    outliers: int = 0
    distinct: int | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)


BinKind = Literal["state", "value", "range", "category", "rest"]
"""state: no finite value (null, missing, expired, NaN, an infinity). value: one number. rest: all other categories."""


@dataclass(frozen=True)
class Bin:
    """Rows of both sides in one bin. label: as a person reads it (`null`, `[0, 5)`, a category). low, high: of a range
    or a value (of instants microseconds since 1970); None for any other bin. A range holds low and not high, the last
    one both."""

    label: str
    reference: int
    current: int
    low: float | None = None
    high: float | None = None
    kind: BinKind = "category"


@dataclass(frozen=True)
class Drift:
    """One feature, reference against current. Of a list, its length or its items (`view__feature[item]`).

    distances: statistic (see `trueup.parity.distribution.distances`) -> its value. thresholds: what one of them would
    reach by chance at the stated rate, from resampling. floors: the smallest that counts. errors: how wrong a distance
    may be that is computed from buckets; exact where absent. p_value: of all distances of the feature together;
    q_value: after Benjamini-Hochberg over the features of the result. drifted: q_value is at most the stated rate, and
    a distance reaches both its threshold and its floor. reasons: plain sentences, of a drifted feature.
    new_categories, vanished_categories: with their rows, most first. outlier_range: of the reference; the profiles'
    outliers lie outside.
    """

    dtype: str
    reference: Profile
    current: Profile
    drifted: bool
    p_value: float
    q_value: float
    distances: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    new_categories: tuple[tuple[str, int], ...] = ()
    vanished_categories: tuple[tuple[str, int], ...] = ()
    bins: tuple[Bin, ...] = ()
    floors: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    outlier_range: tuple[float, float] | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Name -> what a distance must reach to be more than chance and enough to matter."""
        return {name: max(limit, self.floors.get(name, 0.0)) for name, limit in self.thresholds.items()}


@dataclass(frozen=True)
class DriftResult:
    """Check `distribution`: two sets of rows that should be alike.

    reference, current: what they are, as text (`training set of flights@3`, `served 2013-11-01 to 2013-11-08`).
    rates: stated false-alarm rate, smallest effect that counts, and the like, by name.
    uncompared: reason -> features that could not be tested. notes: label -> how the rows were taken, and what else was
    found and decides nothing.
    """

    check: Literal["distribution"]
    subject: str
    version: str | None
    reference: str
    current: str
    reference_rows: int
    rows: int
    service: str | None = None
    contract: str | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, Drift] = field(default_factory=dict)
    uncompared: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None

    @property
    def label(self) -> str:
        return self.subject if self.version is None else f"{self.subject}@{self.version}"

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(name for name, drift in self.features.items() if drift.drifted)

    @property
    def verdict(self) -> Verdict:
        if self.problem is not None or not self.features:
            return "could not run"
        return "fail" if self.drifted else "pass"

    def summary(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reference": self.reference,
            "current": self.current,
            "reference_rows": self.reference_rows,
            "rows": self.rows,
            "features": len(self.features),
            "drifted": list(self.drifted),
            "uncompared": dict(self.uncompared),
        }


@dataclass(frozen=True)
class Expectation:
    """One expectation and whether the rows met it. kind: Great Expectations' name of it. arguments, observed: as
    text. unexpected: rows against it, of `examined`."""

    kind: str
    feature: str | None
    arguments: str
    success: bool
    examined: int
    unexpected: int
    observed: str | None = None


@dataclass(frozen=True)
class ExpectationResult:
    """Check `expectations`: the suite that was kept with the model, run on served rows.

    suite: its name. data_docs: path of Great Expectations' own pages, relative to the report, where they were built.
    notes: label -> what else was found and decides nothing.
    """

    check: Literal["expectations"]
    subject: str
    version: str | None
    suite: str
    rows: int
    service: str | None = None
    contract: str | None = None
    expectations: tuple[Expectation, ...] = ()
    uncompared: Mapping[str, int] = field(default_factory=dict)
    data_docs: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None

    @property
    def label(self) -> str:
        return self.subject if self.version is None else f"{self.subject}@{self.version}"

    @property
    def failed(self) -> tuple[Expectation, ...]:
        return tuple(expectation for expectation in self.expectations if not expectation.success)

    @property
    def verdict(self) -> Verdict:
        if self.problem is not None or not self.expectations or not self.rows:
            return "could not run"
        return "fail" if self.failed else "pass"

    def summary(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "suite": self.suite,
            "rows": self.rows,
            "expectations": len(self.expectations),
            "failed": len(self.failed),
            "uncompared": dict(self.uncompared),
        }


AnyResult = Result | DriftResult | ExpectationResult


def could_not_run(check: Check, subject: str, problem: str, *, version: str | None = None, rows: int = 0) -> AnyResult:
    """A result of the check's own shape that says why there is none. rows: that were to be checked."""
    uncompared = {"could not run": rows} if rows else {}
    if check == "distribution":
        return DriftResult(check, subject, version, "", "", 0, 0, uncompared=uncompared, problem=problem)
    if check == "expectations":
        return ExpectationResult(check, subject, version, "", 0, uncompared=uncompared, problem=problem)
    return Result(check, subject, version, None, None, None, 0, uncompared=uncompared, problem=problem)


def joint_verdict(results: Iterable[AnyResult]) -> Verdict:
    """A mismatch found stays found, whatever else could not run; without one, all must have run."""
    verdicts = [result.verdict for result in results]
    if "fail" in verdicts:
        return "fail"
    return "could not run" if not verdicts or "could not run" in verdicts else "pass"


def joint_summary(results: tuple[Result, ...]) -> dict[str, Any] | None:
    """The totals of several results; None of a check that was not run."""
    if not results:
        return None
    totals: dict[str, Any] = {"verdict": joint_verdict(results)}
    for name in ("rows", "compared", "mismatched", "unexplained", "during_materialization"):
        totals[name] = sum(getattr(result, name) for result in results)
    for name in ("stale_equal", "forgotten"):
        totals[name] = sum(getattr(result.counts, name) for result in results)
    totals["by_cause"] = _sum_causes(result.by_cause for result in results)
    uncompared: dict[str, int] = {}
    for result in results:
        uncompared = add_counts(uncompared, result.uncompared)
    totals["uncompared"] = uncompared
    return totals


def ordered_causes(counts: Mapping[str, int]) -> dict[str, int]:
    """Causes that were found, in the causes' order; names that are none of ours (a later version's) come last."""
    known = {cause.name: counts[cause.name] for cause in CAUSES if counts.get(cause.name)}
    return known | {name: count for name, count in counts.items() if count and name not in known}


def _sum_causes(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        total = add_counts(total, part)
    return ordered_causes(total)
