"""`DatasetSpec`: what a training set is made of, apart from its features' definitions. Pure.

Instants are aware, UTC. Windows are half open: the start counts, the end does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trueup.instants import AsOfRule, format_instant, parse_instant

INSTANT = "event_timestamp"
"""Column of the entity rows: when the question is asked, which is the instant its features are read as of."""
LABEL_KNOWN_AT = "label_known_at"
"""Column of the entity rows: when the answer became known; null: not yet."""


@dataclass(frozen=True)
class Span:
    """Instants from `start` to before `end`."""

    start: datetime
    end: datetime

    def to_json(self) -> dict[str, str]:
        return {"start": format_instant(self.start), "end": format_instant(self.end)}

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> Span:
        return cls(parse_instant(data["start"], field="start"), parse_instant(data["end"], field="end"))

    def __str__(self) -> str:
        return f"{format_instant(self.start)} to {format_instant(self.end)}"


@dataclass(frozen=True)
class EntityQuery:
    """Which questions to learn from, and their answers.

    query: SQL over `tables` (name -> Parquet path, relative to the feature repository), run by DuckDB in UTC.
    id: a column that names each row once. label: boolean, or 0 and 1. sample: learn from this many rows of the
    training window, chosen by a hash of the id; None: from all.
    """

    query: str
    tables: Mapping[str, str]
    id: str
    label: str
    sample: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "query": self.query,
            "tables": dict(self.tables),
            "id": self.id,
            "label": self.label,
            "sample": self.sample,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EntityQuery:
        return cls(data["query"], dict(data["tables"]), data["id"], data["label"], data["sample"])


@dataclass(frozen=True)
class DatasetSpec:
    """name: of the recipe. rule: which feature rows count. train, holdout: whose instants lie in them.

    The rule is always pinned: nothing that became known later counts, label or feature, so that the same spec gives
    the same set next month.
    """

    name: str
    feature_service: str
    rule: AsOfRule
    rows: EntityQuery
    train: Span
    holdout: Span

    def __post_init__(self) -> None:
        if self.rule.pinned is None:
            raise ValueError(f"dataset {self.name}: its rule is not pinned; pin it to the instant it is built at")

    @property
    def pinned(self) -> datetime:
        assert self.rule.pinned is not None
        return self.rule.pinned

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "feature_service": self.feature_service,
            "as_of": self.rule.to_json(),
            "rows": self.rows.to_json(),
            "train": self.train.to_json(),
            "holdout": self.holdout.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DatasetSpec:
        """Raises KeyError, TypeError, ValueError or InputError when the JSON is not of a spec."""
        return cls(
            name=data["name"],
            feature_service=data["feature_service"],
            rule=AsOfRule.from_json(data["as_of"]),
            rows=EntityQuery.from_json(data["rows"]),
            train=Span.from_json(data["train"]),
            holdout=Span.from_json(data["holdout"]),
        )
