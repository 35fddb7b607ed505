"""`Recipe`: a training run as a TOML file. Everything that decides the model stands in it.

Instants are TOML dates with an offset, or ISO 8601 text; without an offset they are UTC. Windows are half open:
the start counts, the end does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from trueup.datasets.spec import DatasetSpec, EntityQuery, Span
from trueup.errors import InputError
from trueup.instants import AsOfRule, KnownAt, as_utc, format_instant, parse_instant
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


def _alias(value: str) -> str:
    # What MLflow refuses; digits alone would also read as a version. Better said before the work than after it.
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", value) or re.fullmatch(r"[0-9]+|v[0-9]+|latest", value.lower()):
        raise ValueError("expected a name of letters, digits, - and _, other than a version or 'latest'")
    return value


Instant = Annotated[datetime, BeforeValidator(_instant)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Window(_Part):
    """Instants from `start` to before `end`."""

    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"end {format_instant(self.end)} is not after start {format_instant(self.start)}")
        return self


class Rows(_Part):
    """Which questions to learn from, and their answers.

    query: SQL over `tables` (name -> Parquet path, relative to the feature repository), run by DuckDB in UTC. It
        gives the feature service's entity and request columns, `event_timestamp`, `label_known_at`, the id and the
        label. Its order does not matter.
    id: a column that names each row once. label: boolean, or 0 and 1.
    sample: learn from this many rows of the training window, chosen by a hash of the id; all rows if left out. The
        holdout is never sampled.
    """

    query: Annotated[str, Field(min_length=1)]
    tables: Annotated[dict[str, str], Field(min_length=1)]
    id: Annotated[str, Field(min_length=1)]
    label: Annotated[str, Field(min_length=1)]
    sample: Annotated[int, Field(gt=0)] | None = None


class AsOf(_Part):
    """Which feature rows training may see (`AsOfRule`). `pinned` also bounds which labels count."""

    known_at: KnownAt
    pinned: Instant | None = None

    @property
    def rule(self) -> AsOfRule:
        return AsOfRule(self.known_at, self.pinned)


class Boosting(_Part):
    """Parameters of scikit-learn's HistGradientBoostingClassifier, under its own names."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    max_iter: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_leaf_nodes: Annotated[int, Field(ge=2)] = 31
    max_depth: Annotated[int, Field(ge=1)] | None = None
    min_samples_leaf: Annotated[int, Field(ge=1)] = 20
    l2_regularization: Annotated[float, Field(ge=0)] = 0.0
    max_features: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_bins: Annotated[int, Field(ge=2, le=255)] = 255


class ModelSection(_Part):
    """name: the registered model. alias: what to point at the new version (none: no alias moves)."""

    name: Name
    alias: Annotated[str, AfterValidator(_alias)] | None = None
    kind: Literal["hist_gradient_boosting"] = "hist_gradient_boosting"
    params: Boosting = Boosting()


class Recipe(_Part):
    """A training run. seed: of everything random in it."""

    name: Name
    feature_service: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    rows: Rows
    as_of: AsOf
    train: Window
    holdout: Window
    model: ModelSection

    @model_validator(mode="after")
    def _tests_on_what_comes_later(self) -> Self:
        if self.holdout.start < self.train.end:
            raise ValueError(
                f"holdout.start {format_instant(self.holdout.start)} lies before train.end "
                f"{format_instant(self.train.end)}: a model is tested on what it has not seen"
            )
        return self

    def dataset(self, now: datetime) -> DatasetSpec:
        """What the training set is made of. now: what becomes known later does not count, so that a snapshot built in
        this instant can be built again; an earlier `as_of.pinned` wins."""
        pinned = min(now, self.as_of.pinned) if self.as_of.pinned is not None else now
        rows = self.rows
        return DatasetSpec(
            name=self.name,
            feature_service=self.feature_service,
            rule=AsOfRule(self.as_of.known_at, as_utc(pinned)),
            rows=EntityQuery(rows.query, rows.tables, rows.id, rows.label, rows.sample),
            train=Span(self.train.start, self.train.end),
            holdout=Span(self.holdout.start, self.holdout.end),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; instants as ISO 8601 text. What was left out of the file is there with its default."""
        plain: dict[str, Any] = _texts(self.model_dump())
        return plain

    def params(self) -> dict[str, str]:
        """Flat: `model.params.max_iter` -> `150`, in the recipe's order. What has no value is left out."""
        return dict(_flat(self.to_json()))


def load_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file. Raises InputError that names the file, the field, what came and what was expected."""
    data = read_toml(path, field="recipe", what=f"recipe {path}")
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors(include_url=False, include_context=False)]
        raise InputError(problems[0][0], f"recipe {path}: {'; '.join(text for _, text in problems)}.") from error


def _problem(error: Mapping[str, Any]) -> tuple[str, str]:
    """(field, what is wrong with it) of one pydantic error."""
    field = ".".join(str(part) for part in error["loc"]) or "recipe"
    if error["type"] == "missing":
        return field, f"{field} is missing"
    if error["type"] == "extra_forbidden":
        return field, f"{field} is not a field of a recipe"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(error["input"], dict):
        return field, message if field == "recipe" else f"{field}: {message}"
    return field, f"{field} = {error['input']!r}: {message}"


def _texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _texts(item) for key, item in value.items()}
    return format_instant(value.astimezone(UTC)) if isinstance(value, datetime) else value


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        elif item is not None:
            yield f"{prefix}{key}", str(item)
