"""Served windows and the suites kept with their models. The only file that knows Great Expectations.

Great Expectations takes seconds to import, so it is imported when a suite is run and not before. It sends nothing: its
telemetry is switched off first, and its context lives in memory.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from trueup.errors import TrueupError
from trueup.models.card import ModelCard
from trueup.parity.checks.expectations import ServedWindow, Validated
from trueup.parity.evidence.models import Progress, Unreadable, nothing
from trueup.parity.evidence.windows import other_contract, windows
from trueup.parity.suite import SUITE_FILE, read_suite

if TYPE_CHECKING:
    from types import ModuleType

TELEMETRY = "GX_ANALYTICS_ENABLED"
INDEX = "index.html"
_NUMBER = "number"
_EXTENSION_TYPES: Mapping[pa.DataType, Any] = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
}


class Models(Protocol):
    """Registered models: `trueup.models.tracking.Tracking`. Raises TrueupError for one it has not."""

    def load_card(self, model: str, ref: str | int | None = None) -> ModelCard: ...

    def load_file(self, model: str, ref: str | int | None, name: str) -> bytes: ...


@dataclass(frozen=True)
class DataDocs:
    """Where Great Expectations' own pages are built, a folder for each model. relative_to: the report's folder.

    Their text stands in them; their style and scripts come from content delivery networks, so that they are plain
    without a network.
    """

    folder: Path
    relative_to: Path

    def of(self, model: str, version: str) -> Path:
        return self.folder / f"{model}-{version}"

    def link(self, model: str, version: str) -> str:
        return os.path.relpath(self.of(model, version) / INDEX, self.relative_to).replace(os.sep, "/")


def served_windows(
    log_dir: Path,
    models: Models,
    *,
    at: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
    names: Sequence[str] | None = None,
    docs: DataDocs | None = None,
    progress: Progress = nothing,
) -> Iterator[ServedWindow | Unreadable]:
    """Each model version in the served logs, with all its rows of the window in memory.

    at: the run's instant, which the pages are named after.
    """
    for window in windows(log_dir, start=start, end=end, names=names):
        progress(f"read {window.directory.parent.name}/{window.directory.name}")
        for found in window.models():
            model, version = found.model, found.version
            progress(f"expectations of {model}@{version}, {found.rows:,} rows")
            try:
                contract = models.load_card(model, version).contract
                suite = read_suite(models.load_file(model, version, SUITE_FILE))
            except TrueupError as error:
                yield Unreadable(model, version, found.rows, str(error))
                continue
            if contract.hash != window.contract.hash:
                yield Unreadable(model, version, found.rows, other_contract(found, contract, window.contract))
                continue
            values = pa.concat_tables(
                [contract.schema.empty_table(), *(log.frame.values for log in window.rows_of(model, version))]
            )
            yield ServedWindow(
                model=model,
                version=version,
                service=contract.service,
                contract=contract.hash,
                suite=suite,
                values=values,
                validate=Validator(at, docs.of(model, version) if docs is not None else None),
                uncompared=found.uncompared,
                data_docs=docs.link(model, version) if docs is not None else None,
            )


@dataclass(frozen=True)
class Validator:
    """Runs a suite by Great Expectations, in memory. at: the run's instant. docs: the folder of its pages, or none."""

    at: datetime
    docs: Path | None = None

    def __call__(self, suite: Mapping[str, Any], values: pa.Table) -> tuple[Validated, ...]:
        gx = import_great_expectations()
        from great_expectations.core.run_identifier import RunIdentifier
        from great_expectations.data_context.types.base import ProgressBarsConfig

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            context = gx.get_context(mode="ephemeral")
            context.variables.progress_bars = ProgressBarsConfig(globally=False)
            rows = context.data_sources.add_pandas("served").add_dataframe_asset("window")
            run = context.validation_definitions.add(
                gx.ValidationDefinition(
                    name="served window",
                    data=rows.add_batch_definition_whole_dataframe("rows"),
                    suite=context.suites.add(gx.ExpectationSuite(**_numbered(suite))),
                )
            )
            result = run.run(
                batch_parameters={"dataframe": window_frame(values)},
                result_format="BASIC",
                run_id=RunIdentifier(run_name="served window", run_time=self.at),
            )
            if self.docs is not None:
                _build_pages(context, self.docs)
        found = {item.expectation_config.meta[_NUMBER]: item.to_json_dict() for item in result.results}
        return tuple(_validated(item, found[number]) for number, item in enumerate(suite["expectations"]))


def import_great_expectations() -> ModuleType:
    """The package, without telemetry and without its warnings about its own dependencies."""
    os.environ[TELEMETRY] = "false"  # read on import
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    module: ModuleType = gx
    return module


def window_frame(values: pa.Table) -> pd.DataFrame:
    """As Great Expectations eats them: nullable integers and booleans (no integer becomes a float), null strings None,
    lists Python lists; null floats are NaN."""
    frame = pd.DataFrame(index=pd.RangeIndex(values.num_rows))
    for name, column in zip(values.column_names, values.columns, strict=True):
        if pa.types.is_list(column.type):
            cells = np.empty(values.num_rows, np.object_)
            cells[:] = column.to_pylist()
            frame[name] = cells
        else:
            frame[name] = column.to_pandas(types_mapper=_EXTENSION_TYPES.get)
    return frame


def _numbered(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Each expectation with its place in the suite: results come in another order, and under ids that GX made up."""
    expectations = [
        {**item, "meta": {**item["meta"], _NUMBER: number}} for number, item in enumerate(suite["expectations"])
    ]
    return {**suite, "expectations": expectations}


def _build_pages(context: Any, folder: Path) -> None:
    for name in list(context.variables.data_docs_sites or {}):
        context.delete_data_docs_site(name)
    context.add_data_docs_site(
        "trueup",
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
        },
    )
    context.build_data_docs(site_names=["trueup"])


def _validated(item: Mapping[str, Any], found: Mapping[str, Any]) -> Validated:
    result = found["result"]
    error = _error(found["exception_info"])
    observed = result.get("observed_value")
    return Validated(
        kind=str(item["type"]),
        column=item["kwargs"].get("column"),
        arguments={name: value for name, value in item["kwargs"].items() if name != "column"},
        success=bool(found["success"]),
        rows=int(result.get("element_count") or 0),
        missing=int(result.get("missing_count") or 0),
        unexpected=int(result["unexpected_count"]) if "unexpected_count" in result else None,
        values=tuple(result.get("partial_unexpected_list") or ()),
        observed=None if observed is None else str(observed),
        error=error,
    )


def _error(info: Mapping[str, Any]) -> str | None:
    """The first line of what was raised, whether GX says it of the expectation or of one of its metrics."""
    for part in (info, *(value for value in info.values() if isinstance(value, dict))):
        if part.get("raised_exception") is True:
            return str(part.get("exception_message") or "it failed").strip().splitlines()[0]
    return None
