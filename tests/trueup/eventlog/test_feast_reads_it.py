"""Feast's own retrieval of served logs, pointed at a log directory of ours."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.types import Float64, Int64, String

from trueup.contracts.extract import extract_contract
from trueup.eventlog.layout import log_directory
from trueup.eventlog.records import Scores, ServedRows
from trueup.eventlog.writer import LogWriter
from trueup.frame import EVENT_TIME, STATUS, FeatureFrame

DAY = datetime(2013, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("offline_store", ["duckdb", "file"])
def test_feast_reads_the_served_features_of_a_time_range(tmp_path: Path, offline_store: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(
        "project: logs\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        f"offline_store: {{type: {offline_store}}}\nonline_store: {{type: sqlite, path: online.db}}\n"
    )
    store = FeatureStore(repo_path=str(tmp_path))
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
    view = FeatureView(
        name="plane",
        entities=[plane],
        schema=[
            Field(name="tailnum", dtype=String),
            Field(name="speed", dtype=Float64),
            Field(name="seats", dtype=Int64),
        ],
        source=FileSource(name="planes", path="planes.parquet", timestamp_field="event_timestamp"),
    )
    store.apply([plane, view, FeatureService(name="planes", features=[view])])
    contract = extract_contract(store, "planes")
    frame = FeatureFrame(
        pa.table({"plane__speed": [1.5], "plane__seats": [3]}),
        pa.table({name: pa.array([1], STATUS) for name in contract.columns}),
        pa.table({"plane": pa.array([DAY], EVENT_TIME)}),
    )
    with LogWriter(tmp_path / "log", [contract]) as log:
        for day in range(3):
            log.offer(
                ServedRows(
                    contract=contract,
                    request_id=f"day {day}",
                    instant=DAY + timedelta(days=day),
                    experiment="ab",
                    inputs=pa.table({"tailnum": ["N1"]}),
                    frame=frame,
                    rows=(0,),
                    units=("u",),
                    variants=("a",),
                    scores=(Scores("m", "1", (0,), ("answer",), np.array([0.5])),),
                )
            )

    directory = log_directory(tmp_path / "log", contract)
    service = FeatureService(
        name="planes",
        features=[view],
        logging_config=LoggingConfig(destination=FileLoggingDestination(path=str(directory))),
    )
    store.apply([service])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Feast's and ibis's own
        logs = store._get_provider().retrieve_feature_service_logs(
            service, DAY + timedelta(hours=12), DAY + timedelta(days=9), store.config, store.registry
        )
        rows = logs.to_df().sort_values("__request_id").to_dict("records")
    assert [(row["__request_id"], row["tailnum"], row["plane__speed"], row["plane__seats"]) for row in rows] == [
        ("day 1", "N1", 1.5, 3),
        ("day 2", "N1", 1.5, 3),
    ]
    assert {row["plane__speed__status"] for row in rows} == {1}
