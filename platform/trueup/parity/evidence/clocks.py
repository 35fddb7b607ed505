"""Both clocks of the samples: since when a source has had a value at an event time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from trueup.contracts.contract import FeatureContract, View
from trueup.instants import EPOCH
from trueup.parity.evidence.recompute import micros
from trueup.parity.results import Cell, Sample
from trueup.parity.tally import shown
from trueup.stores.asof_sql import clock, identifier, key
from trueup.stores.duckdb_tables import connect, describe, source_relation
from trueup.stores.typed import declared_or_plain_column


def with_created(samples: Iterable[Sample], contract: FeatureContract, *, repo: Path) -> tuple[Sample, ...]:
    """The samples with the known time of each side: since when the source has had that value at that event time.

    One query a view. A value the source never had keeps none.
    """
    samples = tuple(samples)
    created: dict[tuple[str, tuple[str, ...], int, str | None], datetime] = {}
    for view in contract.views:
        mine = [sample for sample in samples if sample.feature in {view.column(item.name) for item in view.features}]
        if mine and view.source.created_column is not None:
            created |= _first_known(view, view.source.created_column, mine, repo)

    def known(sample: Sample, cell: Cell) -> Cell:
        if cell.event_time is None:
            return cell
        place = (sample.feature, tuple(sample.keys.values()), micros(cell.event_time))
        # Of an expired row the value is not shown; then the row itself counts, whatever its value.
        value = cell.value if cell.status in ("present", "null") else ANY_VALUE
        return replace(cell, created=created.get((*place, value)))

    return tuple(
        replace(sample, served=known(sample, sample.served), recomputed=known(sample, sample.recomputed))
        for sample in samples
    )


ANY_VALUE = "\x00any"
"""Stands for whatever value a row has."""


def _first_known(
    view: View, created: str, samples: Sequence[Sample], repo: Path
) -> dict[tuple[str, tuple[str, ...], int, str | None], datetime]:
    """(feature, key, event time, value) -> earliest created time of a row of the source with them."""
    wanted = {
        (tuple(sample.keys[item.request] for item in view.keys), micros(cell.event_time))
        for sample in samples
        for cell in (sample.served, sample.recomputed)
        if cell.event_time is not None
    }
    own = {view.column(item.name): item for item in view.features}
    features = tuple(own[name] for name in dict.fromkeys(sample.feature for sample in samples))
    what = f"feature view {view.table}"
    found: dict[tuple[str, tuple[str, ...], int, str | None], datetime] = {}
    with connect() as connection:
        relation = source_relation(connection, view.source, repo, what=what)
        types = describe(connection, relation, what=what)
        key_names = [f"k{i}" for i in range(len(view.keys))]
        names = [f"f{i}" for i in range(len(features))]
        columns = [
            *(
                f"{key(column, types[column], item.dtype)} AS {name}"
                for item, name in zip(view.keys, key_names, strict=True)
                for column in [view.source.column(item.name)]
            ),
            *(
                f"{identifier(view.source.column(item.name))} AS {name}"
                for item, name in zip(features, names, strict=True)
            ),
            f"{clock(view.source.timestamp_field)} AS e",
            f"coalesce({clock(created)}, {clock(view.source.timestamp_field)}) AS c",
        ]
        times = pa.table({"e": pa.array(sorted({time for _, time in wanted}), pa.int64())})
        connection.register("trueup_wanted", times)
        table: pa.Table = connection.sql(
            f"SELECT * FROM (SELECT {', '.join(columns)} FROM {relation} AS source) "
            "WHERE e IN (SELECT e FROM trueup_wanted) ORDER BY c"
        ).to_arrow_table()
    keys = zip(*([shown(value) for value in table[name].to_pylist()] for name in key_names), strict=True)
    places = list(zip(keys if key_names else [()] * table.num_rows, table["e"].to_pylist(), strict=True))
    known = [EPOCH + timedelta(microseconds=value) for value in table["c"].to_pylist()]
    for item, name in zip(features, names, strict=True):
        values = declared_or_plain_column(table[name], item.dtype, what=what).to_pylist()
        for place, value, instant in zip(places, values, known, strict=True):
            if place in wanted:
                for text in (None if value is None else shown(value), ANY_VALUE):
                    found.setdefault((view.column(item.name), *place, text), instant)
    return found
