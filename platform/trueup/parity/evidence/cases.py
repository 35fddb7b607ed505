"""Rows of a served log as a case: what was served, and what it takes to recompute and explain it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract
from trueup.eventlog.logged import NOT_LOGGED, LoggedRows
from trueup.eventlog.parquet import Damaged
from trueup.eventlog.records import FALLBACK, REQUEST_ID
from trueup.instants import AsOfRule, KnownAt
from trueup.parity.causes import Reading
from trueup.parity.compare import Mask, Tolerance
from trueup.parity.evidence.definitions import (
    common_columns,
    ledger_definitions,
    log_definition,
    other_definitions,
)
from trueup.parity.evidence.log_chunks import instants
from trueup.parity.evidence.recompute import Source, distinct, under_way
from trueup.parity.explain import Case, Rows, only
from trueup.parity.logged import AsLogged
from trueup.stores.ledger import Ledger


@dataclass(frozen=True)
class Log:
    """A served log under one contract.

    label: as progress names it. root: where its files are. contract: what it was written under, or, of a log that
    brings none, what can be read of what the registry says now. others: contracts of the other logs of the same
    service. service: the whole contract, left_out: feature of it -> why it cannot be read, where that is not the same.
    notes: what else is there and is not looked at.
    """

    label: str
    root: Path
    contract: FeatureContract
    pieces: Iterator[tuple[datetime, LoggedRows | Damaged]]
    others: tuple[FeatureContract, ...] = ()
    service: FeatureContract | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> FeatureContract:
        return self.service or self.contract


@dataclass(frozen=True)
class Basis:
    """What served rows are recomputed from, and explained by.

    repo: the feature repository, of project `project`; a log of another project is not compared. rule: recompute under
    this one, not under each model's own. (The pinned instant of a model's rule is left out: it froze the model's
    training set, and says nothing of rows that were served later.) applied: view or on-demand view -> since when the
    registry has had its present definition. defaults: feature -> what a server is known to put in place of null.
    declared_types: whether history is read as the declared types (trueup's offline store does) or as the source has
    them (Feast's own do).
    """

    repo: Path
    ledger: Ledger | None
    project: str | None = None
    rule: AsOfRule | None = None
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    applied: Mapping[str, datetime] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    declared_types: bool = True


def comparable(contract: FeatureContract, log: Log, chunk: LoggedRows) -> tuple[FeatureContract, dict[str, str]]:
    """The part of a model's contract that rows of the chunk can be compared by, and why the other features cannot."""
    absent = {**chunk.absent, **log.left_out}
    if contract.hash != log.whole.hash:
        # Logged under another contract: what both have, under the model's own definition.
        common = only(contract, common_columns(contract, log.contract))
    elif log.contract.hash == log.whole.hash:
        common = contract  # the model's own, whose schedules count
    else:
        common = log.contract
    absent |= {name: NOT_LOGGED for name in contract.columns if name not in common.columns and name not in absent}
    if any(name in absent for name in common.columns):
        common = only(common, [name for name in common.columns if name not in absent])
    return common, {name: why for name, why in absent.items() if name in contract.columns}


def served_case(
    log: Log,
    trained: FeatureContract,
    known_at: KnownAt,
    contract: FeatureContract,
    chunk: LoggedRows,
    source: Source,
    basis: Basis,
) -> Case:
    """All rows of the chunk. trained: the model's own contract. contract: of what is compared (`comparable`)."""
    at = instants(chunk.at)
    definitions = [*ledger_definitions(contract, basis.ledger), *other_definitions(contract, log.others)]
    if trained.hash != log.whole.hash:
        definitions[:0] = log_definition(contract, log.contract, at, basis.applied)
    return Case(
        contract=contract,
        reading=Reading(AsOfRule(known_at), declared_types=basis.declared_types),
        inputs=chunk.inputs,
        served=chunk.frame if chunk.frame.columns == contract.columns else chunk.frame.select(contract.columns),
        under_way=under_way(contract, at, basis.ledger),
        recompute=AsLogged(source, chunk.precision, chunk.vague),
        # A feature may be in several services; what is settled for one that is not in this one is not for it.
        tolerances={name: item for name, item in basis.tolerances.items() if name in contract.columns},
        requests=_request_numbers(chunk),
        definitions=tuple(definitions),
        defaults={name: item for name, item in basis.defaults.items() if name in contract.columns},
        fallback=_fallback(chunk),
    )


def _fallback(chunk: LoggedRows) -> Mask | None:
    said = chunk.labels.column(FALLBACK).combine_chunks()
    if said.null_count == len(said):
        return None
    return np.asarray(pc.fill_null(said, False).to_numpy(zero_copy_only=False), np.bool_)


def _request_numbers(chunk: LoggedRows) -> Rows:
    """The number of each row's request; a row without a request id is one of its own."""
    _, number = distinct(chunk.labels.select([REQUEST_ID]))
    nameless = np.asarray(chunk.labels.column(REQUEST_ID).combine_chunks().is_null().to_numpy(zero_copy_only=False))
    return np.where(nameless, len(number) + np.arange(len(number)), number).astype(np.int64)
