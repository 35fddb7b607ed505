"""Causes by another definition: features recomputed under a contract that may have been served instead."""

from __future__ import annotations

import numpy as np

from trueup.parity.case import Definition, Rows
from trueup.parity.causes import BIT
from trueup.parity.compare import Mask
from trueup.parity.proofs.readings import steps_that_matter
from trueup.parity.proofs.search import Search
from trueup.parity.reading import paths

_CAUSES = {"ledger": "definition_not_backfilled", "log": "definition_changed", "other": "definition_changed"}


def by_definitions(search: Search) -> None:
    """`registry_stale`, `definition_changed`, `definition_not_backfilled`, alone or with one toggle."""
    ways = list(paths(search.case.reading))
    for path in (*ways[0], *ways[1]):
        for definition in search.case.definitions:
            columns = set(definition.contract.columns)
            chosen = {column: search.rows(column) for column in search.open if column in columns}
            if path.steps:
                chosen = {column: rows[_concerned(search, column, rows)] for column, rows in chosen.items()}
            for column, rows, candidates in search.read(path.reading, chosen, definition.contract):
                found = rows[search.reproduces(column, rows, candidates)]
                if len(found):
                    bits = _causes(definition, found)
                    if path.steps:
                        bits |= steps_that_matter(search, path, column, found, None, definition.contract)
                    search.settle(column, found, bits)


def _causes(definition: Definition, rows: Rows) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    bits = np.full(len(rows), BIT[_CAUSES[definition.source]], np.uint64)
    if definition.source == "log" and definition.replaced is not None:
        bits[definition.replaced[rows]] = BIT["registry_stale"]
    return bits


def _concerned(search: Search, column: str, rows: Rows) -> Mask:
    """A step is worth trying only where the event time is another one; on-demand features have none to tell by."""
    served, expected = search.served(column, rows), search.expected(column, rows)
    if served.times is None or expected.times is None:
        return np.ones(len(rows), np.bool_)
    apart: Mask = served.times != expected.times
    return apart
