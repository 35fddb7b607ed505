"""A running system that faults are injected into: feature repository, ledger, Redis, model server, served log.

Everything in it is the system under test: `feast apply`, the ledger's runs, the server as a process of its own. What
the bench itself does to it is in the files of the injectors, which know none of this code.
"""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import redis
from feast import FeatureStore
from sklearn.dummy import DummyClassifier

from trueup.contracts.contract import FeatureContract
from trueup.contracts.extract import extract_contract
from trueup.gate.server_process import HOST, model_server
from trueup.instants import AsOfRule
from trueup.models.bundle import Bundle
from trueup.models.card import ModelCard
from trueup.models.environment import take_environment
from trueup.models.git import GitState
from trueup.models.tracking import Dataset, Tracking, TrainingRun

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MODEL = "faults"
UNIT = "unit"
_SEPARATOR = "."


@dataclass(frozen=True)
class Request:
    """One request: its rows are served as of `instant`."""

    name: str
    instant: datetime
    entities: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ViewSpec:
    """What an injector must know of a view. keys: (join key, Feast type, column of a request). features: name -> Feast
    type. ttl: microseconds, None for none."""

    name: str
    table: str
    keys: tuple[tuple[str, str, str], ...]
    features: Mapping[str, str]
    ttl: int | None

    def column(self, feature: str) -> str:
        return f"{self.name}__{feature}"


@dataclass
class Site:
    """repo: feature repository. contract: of its service, as the registry has it."""

    root: Path
    repo: Path
    client: redis.Redis
    url: str
    service: str
    contract: FeatureContract = field(init=False)
    card: ModelCard = field(init=False)

    @property
    def ledger(self) -> Path:
        return self.repo / "data" / "ledger.sqlite"

    @property
    def log(self) -> Path:
        return self.root / "served"

    @property
    def store(self) -> FeatureStore:
        return FeatureStore(repo_path=str(self.repo))

    @property
    def tracking(self) -> Tracking:
        (self.root / "mlflow").mkdir(exist_ok=True)
        return Tracking(f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}")

    def register(self, inputs: tuple[str, ...], rule: AsOfRule | None = None) -> None:
        """Registers a model of the service as it is defined now; the server serves the newest one."""
        self.contract = extract_contract(self.store, self.service)
        example = pd.DataFrame({name: [0.0, 1.0] for name in inputs})
        self.card = ModelCard(
            name=MODEL,
            recipe=MODEL,
            contract=self.contract,
            rule=rule or AsOfRule("served"),
            inputs=inputs,
            label="label",
            metrics={"auc": 0.5},
            seed=0,
            dataset="0" * 64,
            environment="0" * 64,
            git_commit=None,
            git_dirty=False,
        )
        run = TrainingRun(
            bundle=Bundle(self.card, DummyClassifier(strategy="prior").fit(example, np.array([0, 1]))),
            params={},
            recipe={"name": MODEL},
            dataset=Dataset(MODEL, "0" * 64, {}, {}, 2),
            example=example.iloc[:1],
            git=GitState(None, dirty=False),
            environment=take_environment(),
            started=EPOCH,
        )
        registered = self.tracking.register(self.tracking.log(run, finished=EPOCH))
        self.tracking.set_alias(MODEL, "champion", registered.version)

    @contextmanager
    def server(self, log: Path | None = None) -> Iterator[Server]:
        """The model server, in its own process, until the block ends; then its log is whole."""
        config = self.root / "serving.toml"
        lines = [
            f'repo = "{self.repo}"',
            f'tracking_uri = "sqlite:///{self.root / "mlflow" / "mlflow.db"}"',
            f'log_dir = "{log or self.log}"',
            'clock = "request"',
            "allow_unverified = true",
            "alias_poll_seconds = 0",  # each block serves what it began with, however long it takes
            "[log]\nqueue_rows = 200000\nbatch_rows = 20000\nbatch_seconds = 3600.0",
            f'[experiment]\nname = "faults"\nunit = "{UNIT}"\nsalt = "s"',
            f'[[experiment.variants]]\nname = "only"\nmodel = "{MODEL}"\nweight = 1',
        ]
        config.write_text("\n".join(lines) + "\n")
        with model_server(config, self.root / "server.log", {"TRUEUP_REDIS_URL": self.url}) as port:
            yield Server(port)

    def copy(self, name: str) -> Path:
        """The repository with its sources, registry and ledger once more, to be changed."""
        target = self.root / "cases" / name
        shutil.copytree(self.repo, target, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
        return target


@dataclass
class Server:
    """Asks the running server."""

    port: int

    def ask(self, requests: Sequence[Request], prefix: str = "") -> None:
        """One after the other. prefix: of the request ids. Raises when an answer is not 200."""
        # A connection each time: the server closes those that stay idle.
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            for request in requests:
                _ask(connection, request, prefix)
        finally:
            connection.close()


def _ask(connection: http.client.HTTPConnection, request: Request, prefix: str) -> None:
    entities = [{**entity, UNIT: f"{request.name}-{row}"} for row, entity in enumerate(request.entities)]
    body = json.dumps({"entities": entities, "request_id": f"{prefix}{request.name}"})
    headers = {
        "Content-Type": "application/json",
        "X-Trueup-Now": request.instant.isoformat().replace("+00:00", "Z"),
    }
    connection.request("POST", "/v1/predict", body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != http.client.OK:
        raise RuntimeError(f"request {request.name}: {response.status} {answer[:500]!r}")


def micros(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def read_rows(log: Path) -> pa.Table:
    """All rows of a served log of one contract, by request and row."""
    files = sorted(log.rglob("*.parquet"))
    tables = []
    for path in files:
        with path.open("rb") as file:
            tables.append(pq.read_table(file))
    table = pa.concat_tables(tables)
    order = pc.sort_indices(table, [("__request_id", "ascending"), ("__row", "ascending")])
    return table.take(order).combine_chunks()


def write_rows(log: Path, contract_file: Path, table: pa.Table) -> Path:
    """A served log of these rows: one file a UTC day, as the server's own writer lays it out."""
    directory = log / contract_file.parent.parent.name / contract_file.parent.name
    directory.mkdir(parents=True)
    shutil.copy(contract_file, directory / "contract.json")
    for day in pc.unique(table.column("__log_date")).to_pylist():
        folder = directory / f"date={day.isoformat()}"
        folder.mkdir()
        rows = table.filter(pc.equal(table.column("__log_date"), day))
        # Statistics would hide NaNs from DuckDB.
        pq.write_table(rows, folder / "0-0.parquet", write_statistics=False)
    return log


def contract_file(log: Path) -> Path:
    (found,) = log.rglob("contract.json")
    return found


def replace_rows(table: pa.Table, rows: np.ndarray, new: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The table with these columns of these rows taken from `new`, whose row i is for rows[i]."""
    index = np.arange(table.num_rows)
    index[rows] = table.num_rows + np.arange(len(rows))
    take = pa.array(index)
    for column in columns:
        place = table.column_names.index(column)
        kind = table.schema.field(column).type
        both = pa.concat_arrays([_flat(table.column(column)), _flat(new.column(column)).cast(kind)])
        table = table.set_column(place, table.schema.field(column), both.take(take))
    return table


def _flat(column: pa.ChunkedArray) -> pa.Array:
    flat = column.combine_chunks()
    return flat if isinstance(flat, pa.Array) else pa.concat_arrays(flat.chunks)
