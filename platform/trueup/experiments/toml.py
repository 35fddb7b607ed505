"""Experiments as TOML: typed, checked, and with an error that names the file, the field and what came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from trueup.errors import InputError
from trueup.eventlog.labelled import Absent
from trueup.experiments.design import Experiment, Layer, Variant
from trueup.experiments.metric import Goal, Kind, Metric, ModelScore, Value
from trueup.instants import as_utc, parse_duration, parse_instant
from trueup.toml_files import read_toml


def _instant(value: object) -> datetime:
    if isinstance(value, datetime):
        return as_utc(value)
    if isinstance(value, str):
        try:
            return parse_instant(value)
        except InputError as error:
            raise ValueError("expected an instant, such as 2013-11-01T00:00:00Z") from error
    raise ValueError("expected an instant, such as 2013-11-01T00:00:00Z")


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(str(value))
    except InputError as error:
        raise ValueError("expected a duration, such as 30m, 24h or 7d") from error


def _number(value: object) -> object:
    # bool is an int: `weight = true` would be a silent 1.
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


Instant = Annotated[datetime, BeforeValidator(_instant)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class VariantTable(_Table):
    """See `Variant`."""

    name: str
    model: str
    alias: str = "champion"
    weight: Annotated[int | None, BeforeValidator(_number)] = None
    shadow: bool = False

    @model_validator(mode="after")
    def _has_a_weight(self) -> Self:
        if self.weight is None and not self.shadow:
            raise PydanticCustomError(
                "missing_weight", "has no weight; a variant that never answers says shadow = true"
            )
        return self


class LayerTable(_Table):
    """See `Layer`."""

    name: str
    salt: str
    begin: Share = Field(default=0.0, alias="from")
    end: Share = Field(default=1.0, alias="to")


class MetricTable(_Table):
    """See `Metric`."""

    name: Annotated[str, Field(min_length=1)]
    outcome: Annotated[str, Field(min_length=1)]
    kind: Kind = "mean"
    value: Value = "outcome"
    denominator: str | None = None
    goal: Goal = "increase"
    delay: Duration = timedelta()
    absent: Absent = "unknown"
    covariate: str | None = None
    threshold: Share = 0.5
    max_regression: Annotated[float, BeforeValidator(_number), Field(ge=0)] | None = None
    score: ModelScore | None = None


class ExperimentTable(_Table):
    """See `Experiment`. A server of one model is an experiment with one variant."""

    name: str
    unit: str
    salt: str
    shadow: bool = False
    control: str | None = None
    start: Instant | None = None
    end: Instant | None = None
    traffic: Share = 1.0
    holdout: Share = 0.0
    layer: LayerTable | None = None
    variants: tuple[VariantTable, ...]
    metrics: tuple[MetricTable, ...] = ()
    guardrails: tuple[MetricTable, ...] = ()

    def experiment(self) -> Experiment:
        """Raises InputError for weights, names, shares or a unit that cannot be."""
        return Experiment(
            name=self.name,
            unit=self.unit,
            salt=self.salt,
            variants=tuple(Variant(v.name, v.model, v.alias, v.weight or 0, v.shadow) for v in self.variants),
            shadow=self.shadow,
            control=self.control,
            start=self.start,
            end=self.end,
            traffic=self.traffic,
            holdout=self.holdout,
            layer=None if self.layer is None else Layer(**self.layer.model_dump()),
            metrics=tuple(Metric(**item.model_dump()) for item in self.metrics),
            guardrails=tuple(_guardrail(item) for item in self.guardrails),
        )


def _guardrail(table: MetricTable) -> Metric:
    if table.max_regression is None:
        raise InputError(
            "guardrails",
            f"guardrail {table.name!r} does not say how much worse it may get.",
            hint="max_regression = 0.02 allows 2 % of the control's value.",
        )
    return Metric(**table.model_dump())


def load_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file. Raises InputError that names the file, the field, what came and what is wrong."""
    data = read_toml(path, field="experiment", what=f"experiment {path}")
    try:
        return parse_experiment(data).experiment()
    except InputError as error:
        raise InputError(error.field, f"{path}: {error.message}", hint=error.hint) from error


def parse_experiment(data: Mapping[str, Any]) -> ExperimentTable:
    """Raises InputError with every field at fault."""
    try:
        return ExperimentTable.model_validate(data)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors(include_url=False, include_context=False)]
        raise InputError(problems[0][0], f"{'; '.join(text for _, text in problems)}.") from error


def _problem(error: Mapping[str, Any]) -> tuple[str, str]:
    field = ".".join(str(part) for part in error["loc"]) or "experiment"
    if error["type"] == "missing":
        return field, f"{field} is missing"
    if error["type"] == "extra_forbidden":
        return field, f"{field} is not a field of an experiment"
    said = str(error["msg"]).removeprefix("Value error, ")
    return field, f"{field}: {said[:1].lower()}{said[1:]} (got {error['input']!r})"
