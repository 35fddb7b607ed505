"""A parity run, as data: the results of its checks. Sinks show it; nothing is computed after this."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import Discriminator, TypeAdapter, ValidationError

from trueup.errors import InputError
from trueup.parity.causes import CAUSES
from trueup.parity.policy import Policy
from trueup.parity.results import (
    EXIT_CODES,
    AnyResult,
    CellCheck,
    DriftResult,
    ExpectationResult,
    Result,
    Verdict,
    joint_summary,
    joint_verdict,
)

SCHEMA = "trueup.parity/2"
"""Name and version of the JSON form. The number goes up when a field changes its meaning or goes away."""


_NOT_RUN = "not run: "
NOT_FINITE: Mapping[str, str] = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""What stands in the JSON form for a number that is none, by Python's name of it; `from_json` reads it back."""


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
    results: tuple[Annotated[AnyResult, Discriminator("check")], ...]
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

    def about(self, subject: str, version: str | None) -> Report:
        """Of one version of a model alone."""
        mine = tuple(each for each in self.results if (each.subject, each.version) == (subject, version))
        return replace(self, results=mine)

    def with_experiment(self, experiment: Experiment) -> Report:
        return replace(self, experiment=experiment)

    def under(self, policy: Policy) -> Report:
        """The same findings, judged by another policy. Drift and expectations have thresholds of their own."""
        judged = (replace(result, policy=policy) if isinstance(result, Result) else result for result in self.results)
        return replace(self, results=tuple(judged))

    @property
    def cells(self) -> tuple[Result, ...]:
        """The results of the checks that compare cells."""
        return tuple(result for result in self.results if isinstance(result, Result))

    @property
    def drift(self) -> tuple[DriftResult, ...]:
        return tuple(result for result in self.results if isinstance(result, DriftResult))

    @property
    def expectations(self) -> tuple[ExpectationResult, ...]:
        return tuple(result for result in self.results if isinstance(result, ExpectationResult))

    @property
    def not_checked(self) -> tuple[str, ...]:
        """What the run left aside, a line for each reason: from the facts `not run: CHECK` and `not stored: KIND`."""
        lines = [f"{name}: {fact}" for name, fact in self.facts.items() if name.startswith("not stored: ")]
        reasons: dict[str, list[str]] = {}
        for name, fact in self.facts.items():
            if name.startswith(_NOT_RUN):
                reasons.setdefault(fact, []).append(name.removeprefix(_NOT_RUN))
        return (*lines, *(f"{_NOT_RUN}{', '.join(checks)}: {why}" for why, checks in reasons.items()))

    def of(self, check: CellCheck) -> tuple[Result, ...]:
        return tuple(result for result in self.cells if result.check == check)

    @property
    def verdict(self) -> Verdict:
        """A mismatch found stays found, whatever else could not run; without one, all must have run."""
        return joint_verdict(self.results)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    def summary(self) -> dict[str, Any]:
        """The totals. Of models by name (by `model@version` where a model has several), of views all together."""
        return {
            "verdict": self.verdict,
            "served": _by_subject(self.of("served")),
            "online": joint_summary(self.of("online")),
            "replay": _by_subject(self.of("replay")),
            "transforms": joint_summary(self.of("transforms")),
            "distribution": _by_subject(self.drift),
            "expectations": _by_subject(self.expectations),
        }

    def to_json(self) -> dict[str, Any]:
        """`summary` and `causes` are for whoever reads it; `from_json` does without them.

        JSON has no NaN and no infinity: a distance or quantile that is one of them is its name, as text.
        """
        named = {cause for result in self.cells for cause in result.by_cause}
        data: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return {
            "schema": SCHEMA,
            "summary": self.summary(),
            "causes": {
                cause.name: {"meaning": cause.meaning, "advice": cause.advice}
                for cause in CAUSES
                if cause.name in named
            },
            **{name: _finite(value) for name, value in data.items()},
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


def _finite(value: Any) -> Any:
    """The same, with `NOT_FINITE` for the numbers that JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else NOT_FINITE[repr(value)]
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


def _by_subject(results: Sequence[AnyResult]) -> dict[str, Any]:
    """By model; by version where a model has several; numbered where one version was checked more than once."""
    subjects = [result.subject for result in results]
    names = [result.label if subjects.count(result.subject) > 1 else result.subject for result in results]
    found: dict[str, Any] = {}
    for index, (name, result) in enumerate(zip(names, results, strict=True)):
        before = names[:index].count(name)
        found[f"{name} ({before + 1})" if before else name] = result.summary()
    return found


_ADAPTER = TypeAdapter(Report)
