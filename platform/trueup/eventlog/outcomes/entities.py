"""Outcomes by entity and time, as outcomes of the request's row that they mean. Pure.

The row that the entity was served last at or before the outcome's instant, and within its reach, is meant; never a
later one. So it takes all requests of the entity to say which: of some of them only, another may seem the last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.errors import InputError
from trueup.eventlog.outcomes.kept import SCHEMA, Outcomes
from trueup.eventlog.outcomes.keys import codes, column_texts, entity_columns
from trueup.eventlog.records import LOG_TIMESTAMP, REQUEST_ID, ROW

_NO_KEYS = (pa.chunked_array([], pa.string()), pa.chunked_array([], pa.int32()))


def keyed_by(outcomes: Outcomes) -> tuple[tuple[str, ...], ...]:
    """The different sets of join keys of the outcomes that are by entity, sorted."""
    texts = pc.unique(outcomes.table.column("keys").drop_null()).to_pylist()
    return tuple(sorted({tuple(sorted(json.loads(text))) for text in texts}))


def by_request(outcomes: Outcomes, requests: pa.Table) -> Outcomes:
    """requests: rows of `__request_id`, `__row`, `__log_timestamp` and the join keys; more than one of a request's row
    is one.

    What fits no request is counted as `orphans`, and what fits two at one instant as `matched` and `ambiguous`; neither
    is in the table. Raises InputError for a join key that the requests do not have.
    """
    table = outcomes.table
    is_keyed = table.column("keys").is_valid()
    if not pc.any(is_keyed).as_py():
        return outcomes
    keyed = table.filter(is_keyed)
    counts = dict(outcomes.counts)
    found = [table.filter(pc.invert(is_keyed))]
    for names, timed in _kinds(keyed, requests):
        served, alike = _meant(names, timed, requests)
        orphans, several = int((alike == 0).sum()), int((alike > 1).sum())
        for name, count in (("orphans", orphans), ("ambiguous", several), ("matched", several)):
            counts[name] = counts.get(name, 0) + count
        one = alike == 1
        found.append(_by_request(timed.filter(pa.array(one)), requests.take(pa.array(served[one]))))
    return replace(outcomes, table=pa.concat_tables(found), counts=counts)


def _kinds(keyed: pa.Table, requests: pa.Table) -> Iterator[tuple[tuple[str, ...], pa.Table]]:
    """Outcomes that are by the same join keys."""
    texts = keyed.column("keys").combine_chunks().dictionary_encode()
    names_of = [tuple(sorted(json.loads(text))) for text in texts.dictionary.to_pylist()]
    for names in sorted(set(names_of)):
        if unknown := [name for name in names if name not in requests.column_names]:
            raise InputError(
                "key",
                f"key: outcomes are keyed by {unknown[0]!r}, which the served rows do not have; "
                f"they have {', '.join(name for name in requests.column_names if name[:2] != '__') or 'no key'}.",
                hint="Import them under the names of the join keys or request fields, or by request id.",
            )
        yield names, keyed.filter(pa.array([found == names for found in names_of], pa.bool_()).take(texts.indices))


def _meant(
    names: Sequence[str], timed: pa.Table, requests: pa.Table
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each outcome a row of `requests` that it may mean, and how many different ones there are at that instant."""
    entities = timed.column("keys").combine_chunks().dictionary_encode()
    kinds = {name: requests.schema.field(name).type for name in names}
    theirs = entity_columns(entities.dictionary.to_pylist(), names, kinds)
    entity, asked_of = codes(
        [pa.chunked_array([column_texts(requests.column(name))]) for name in names],
        [pa.chunked_array([column.take(entities.indices)]) for column in theirs],
    )
    request, _ = codes([requests.column(REQUEST_ID), pc.fill_null(requests.column(ROW), 0)], _NO_KEYS)
    served_at, at = _micros(requests.column(LOG_TIMESTAMP)), _micros(timed.column("at"))
    within = np.asarray(timed.column("within").to_numpy())
    has_instant = np.asarray(requests.column(LOG_TIMESTAMP).is_valid().to_numpy())
    rows = np.flatnonzero((entity >= 0) & (request >= 0) & has_instant)
    # One of each: an entity, an instant and a request's row, in this order.
    order = rows[np.lexsort((request[rows], served_at[rows], entity[rows]))]
    unlike = np.ones(len(order), np.bool_)
    unlike[1:] = np.any([np.diff(column[order]) != 0 for column in (entity, served_at, request)], axis=0)
    order = order[unlike]
    left, right = _span(entity[order], served_at[order], asked_of, at)
    if not len(order):
        return np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    served = order[np.maximum(right - 1, 0)]
    near = (right > left) & (at - served_at[served] <= within)
    return served, np.where(near, right - left, 0)


def _span(
    entity: npt.NDArray[np.int64],
    served_at: npt.NDArray[np.int64],
    asked_of: npt.NDArray[np.int64],
    at: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each asked entity and instant the run left:right of the sorted rows that are of the entity's last instant at
    or before it; empty where there is none."""
    instants = np.unique(np.concatenate([served_at, at]))
    steps = len(instants) + 1
    # Entity and instant as one number that sorts as the two do.
    key = entity * steps + np.searchsorted(instants, served_at)
    asked = asked_of * steps + np.searchsorted(instants, at)
    right = np.searchsorted(key, asked, side="right")
    last = key[np.maximum(right - 1, 0)] if len(key) else np.full(len(asked), -1)
    found = (right > 0) & (last // steps == asked_of)
    return np.where(found, np.searchsorted(key, last), right), right


def _micros(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0).to_numpy())


def _by_request(timed: pa.Table, served: pa.Table) -> pa.Table:
    """served: the row of each outcome."""
    columns = {
        "request_id": served.column(REQUEST_ID),
        "row": pc.fill_null(served.column(ROW), 0),
        "value": timed.column("value"),
        "known_at": timed.column("known_at"),
    }
    empty = {field.name: pa.nulls(timed.num_rows, field.type) for field in SCHEMA}
    return pa.table({name: {**empty, **columns}[name] for name in SCHEMA.names}).cast(SCHEMA)
