"""The result of a parity run, as data. Sinks show it; nothing is computed after this.

All instants are aware UTC. Counts are of cells (one feature of one row) unless they say rows. A mismatch with
two causes counts under both, so causes can add up to more than there are mismatches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from trueup.errors import InputError
from trueup.parity.causes import CAUSES
from trueup.parity.compare import Counts, add_counts

SCHEMA = "trueup.parity/1"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""

Verdict = Literal["pass", "fail", "could not run"]

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
    """A mismatching cell with both clocks of both sides. at: the instant it was served."""

    feature: str
    causes: tuple[str, ...]
    keys: Mapping[str, str]
    at: datetime
    served: Cell
    recomputed: Cell
    request: str | None = None
    row: int | None = None
    role: str | None = None


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
    """Cells of rows served within [start, start of the next bucket)."""

    start: datetime
    rows: int
    compared: int
    mismatched: int


@dataclass(frozen=True)
class Result:
    """One subject of a check: a model (check `served`) or a feature view (check `online`).

    known_at: the rule its rows were recomputed under. contract: hash of the contract. rows: how many were
    compared. uncompared: reason -> rows that could not be. roles: served only. timeline: served only, in
    order, without gaps. problem: why it could not run, where it could not.
    """

    check: str
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
        if self.problem is not None or not self.compared:
            return "could not run"
        return "fail" if self.mismatched else "pass"

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
class VariantScores:
    """A variant of an experiment: scores on the holdout, and on what was served. requests: it answered."""

    name: str
    requests: int
    auc_offline: float
    auc_online: float
    log_loss_offline: float
    log_loss_online: float


@dataclass(frozen=True)
class Experiment:
    """What the mismatches cost. story: plain sentences."""

    title: str
    story: str
    variants: tuple[VariantScores, ...]


@dataclass(frozen=True)
class Report:
    """A parity run, or several joined with `|`.

    environment: package -> version. facts: what else it was made from (repository, ledger, log), as text.
    """

    started_at: datetime
    finished_at: datetime
    results: tuple[Result, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    experiment: Experiment | None = None

    def __or__(self, other: Report) -> Report:
        """Both reports as one: the results of both, this one's facts first."""
        return Report(
            started_at=min(self.started_at, other.started_at),
            finished_at=max(self.finished_at, other.finished_at),
            results=self.results + other.results,
            environment={**other.environment, **self.environment},
            facts={**self.facts, **{name: fact for name, fact in other.facts.items() if name not in self.facts}},
            experiment=self.experiment or other.experiment,
        )

    def with_experiment(self, experiment: Experiment) -> Report:
        return replace(self, experiment=experiment)

    def of(self, check: str) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.check == check)

    @property
    def verdict(self) -> Verdict:
        """A mismatch found stays found, whatever else could not run; without one, all must have run."""
        return joint_verdict(self.results)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    def summary(self) -> dict[str, Any]:
        """The totals. served: by model (by `model@version` where a model has several); online: of all views."""
        served = self.of("served")
        names = [result.subject for result in served]
        return {
            "verdict": self.verdict,
            "served": {
                result.label if names.count(result.subject) > 1 else result.subject: result.summary()
                for result in served
            },
            "online": joint_summary(self.of("online")),
        }

    def to_json(self) -> dict[str, Any]:
        """`summary` and `causes` are for whoever reads it; `from_json` does without them."""
        named = {cause for result in self.results for cause in result.by_cause}
        data: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return {
            "schema": SCHEMA,
            "summary": self.summary(),
            "causes": {
                cause.name: {"meaning": cause.meaning, "advice": cause.advice}
                for cause in CAUSES
                if cause.name in named
            },
            **data,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Raises InputError when it is not a report of this schema."""
        if data.get("schema") != SCHEMA:
            raise InputError("schema", f"a report of schema {data.get('schema')!r} cannot be read; expected {SCHEMA}.")
        try:
            rest = {name: value for name, value in data.items() if name not in ("schema", "summary", "causes")}
            return _ADAPTER.validate_python(rest)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(where, f"this report cannot be read: {where}: {first['msg']}.") from error


def joint_verdict(results: Iterable[Result]) -> Verdict:
    verdicts = [result.verdict for result in results]
    if "fail" in verdicts:
        return "fail"
    return "could not run" if not verdicts or "could not run" in verdicts else "pass"


def joint_summary(results: tuple[Result, ...]) -> dict[str, Any]:
    """The totals of several results."""
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
    """Causes that were found, in the causes' order."""
    return {cause.name: counts[cause.name] for cause in CAUSES if counts.get(cause.name)}


def _sum_causes(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        total = add_counts(total, part)
    return ordered_causes(total)


_ADAPTER = TypeAdapter(Report)
