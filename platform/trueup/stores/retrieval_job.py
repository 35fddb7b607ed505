"""Feast's `RetrievalJob` over a table that is made when it is asked for, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from feast import OnDemandFeatureView
from feast.data_format import DeltaFormat
from feast.data_source import DataSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage
from typing_extensions import override

from trueup.errors import SourceError, StoreError
from trueup.stores.parquet_files import append_parquet, write_parquet


class DuckDBRetrievalJob(RetrievalJob):
    """A read that runs once, when its result is first asked for. Its tables have one chunk per column.

    (Feast's conversion to online rows reads the first chunk of a table only.)
    """

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        *,
        repo: Path,
        full_feature_names: bool = False,
        on_demand_feature_views: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        super().__init__()
        self._evaluate = evaluate
        self._table: pa.Table | None = None
        self._repo = repo
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = list(on_demand_feature_views)
        self._metadata = metadata

    @override
    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        if self._table is None:
            self._table = self._evaluate().combine_chunks()
        return self._table

    @override
    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal().to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    @override
    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Writes the result, on-demand features included, to a Parquet file (or a directory of one)."""
        path = local_path(storage.to_data_source(), self._repo, "saved dataset")
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        table = self.to_arrow()
        if path.suffix == ".parquet":
            write_parquet(table, path)
            return
        for old in path.glob("**/*.parquet"):
            old.unlink()
        append_parquet(table, path)

    @override
    def to_sql(self) -> str:
        raise NotImplementedError(
            "this read is not one statement: it loads the entity rows, ranks each view's history, and gathers the "
            "features. trueup.stores.asof_sql builds its steps."
        )


def refuse_delta(source: DataSource) -> None:
    if isinstance(getattr(source, "file_format", None), DeltaFormat):
        raise SourceError(
            f"source {source.name} is a Delta table, which is not supported.", hint="Write it as Parquet."
        )


def local_path(source: DataSource, repo: Path, what: str) -> Path:
    refuse_delta(source)
    path = str(getattr(source, "path", ""))
    if not path or "://" in path:
        raise StoreError(f"{what}: {path or type(source).__name__} is not a local path.", hint="Write to a local file.")
    return repo / path
