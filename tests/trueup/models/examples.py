"""A small contract with a column of every kind a model eats, frames of it, and a model fitted on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from trueup.contracts.contract import FeatureContract, Field, JoinKey, Source, View
from trueup.frame import STATUS, FeatureFrame, Status
from trueup.instants import AsOfRule, Schedule
from trueup.models.bundle import Bundle, matrix
from trueup.models.card import ModelCard

PINNED = datetime(2024, 3, 1, 12, 30, 0, 5, tzinfo=UTC)

CONTRACT = FeatureContract(
    project="shop",
    service="buyers_v1",
    features=(
        ("buyer", "city"),
        ("buyer", "orders"),
        ("buyer", "spent"),
        ("buyer", "member"),
        ("buyer", "since"),
        ("buyer", "score"),
    ),
    views=(
        View(
            name="buyer",
            table="buyer",
            keys=(JoinKey("buyer_id", "Int64", "buyer_id"),),
            features=(
                Field("orders", "Int64"),
                Field("spent", "Float64"),
                Field("member", "Bool"),
                Field("city", "String"),
                Field("since", "UnixTimestamp"),
                Field("score", "Float32"),
            ),
            ttl=timedelta(days=2),
            source=Source(
                "DuckDBQuerySource", "at", "created", "SELECT * FROM buyers", {"buyers": "data/b.parquet"}, {}
            ),
            schedule=Schedule(timedelta(hours=1), timedelta(minutes=5)),
        ),
    ),
)

CITIES = ("Oslo", "Łódź", "", "São Paulo")


def card(**changes: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "name": "buyers",
        "recipe": "buyers",
        "contract": CONTRACT,
        "rule": AsOfRule("served", PINNED),
        "inputs": CONTRACT.columns,
        "label": "bought",
        "metrics": {"auc": 0.75, "log_loss": 0.1 + 0.2, "rows": 10.0},
        "seed": 7,
        "dataset": "d" * 64,
        "environment": "e" * 64,
        "git_commit": "c" * 40,
        "git_dirty": True,
    }
    return ModelCard(**{**fields, **changes})


def frame(rows: Sequence[Mapping[str, Any]]) -> FeatureFrame:
    """A frame of rows given as feature name -> value; what is left out is null. Columns in the contract's order."""
    values = pa.table(
        {
            column: pa.array([row.get(feature) for row in rows], type=CONTRACT.schema.field(column).type)
            for column, (_, feature) in zip(CONTRACT.columns, CONTRACT.features, strict=True)
        }
    )
    statuses = pa.table(
        {
            name: pa.array(
                [int(Status.PRESENT if valid else Status.NULL) for valid in values.column(name).is_valid().to_pylist()],
                type=STATUS,
            )
            for name in values.column_names
        }
    )
    times = pa.table({"buyer": pa.array([PINNED] * len(rows), pa.timestamp("us", tz="UTC"))})
    return FeatureFrame(values, statuses, times)


def many_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with nulls in every column."""
    random = np.random.default_rng(seed)

    def sometimes(value: Any) -> Any:
        return None if random.random() < 0.15 else value

    return [
        {
            "city": sometimes(CITIES[random.integers(len(CITIES))]),
            "orders": sometimes(int(random.integers(0, 50))),
            "spent": sometimes(float(random.normal(100, 30))),
            "member": sometimes(bool(random.random() < 0.5)),
            "since": sometimes(PINNED - timedelta(days=int(random.integers(0, 1000)))),
            "score": sometimes(float(np.float32(random.normal()))),
        }
        for _ in range(count)
    ]


def fitted(rows: Sequence[Mapping[str, Any]], *, seed: int = 7) -> Pipeline:
    """A pipeline as training makes them, on labels that depend on every kind of column."""
    inputs = matrix(frame(rows), CONTRACT.columns)
    noise = np.random.default_rng(1).normal(size=len(rows))
    signal = (
        inputs["buyer__spent"].fillna(90) / 30 + (inputs["buyer__city"] == "Oslo") + inputs["buyer__member"].fillna(0)
    )
    labels = (signal + noise > 4).astype(np.int8).to_numpy()
    columns = ColumnTransformer(
        [("strings", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["buyer__city"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    model = HistGradientBoostingClassifier(max_iter=25, early_stopping=False, random_state=seed, min_samples_leaf=5)
    return Pipeline([("columns", columns), ("classifier", model)]).fit(inputs, labels)


def bundle(**changes: Any) -> Bundle:
    return Bundle(card(**changes), fitted(many_rows(600)))
