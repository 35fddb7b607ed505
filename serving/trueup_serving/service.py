"""The service without HTTP: assign, read, predict, log. Safe to share between threads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.errors import ContractError, ModelError, StoreError, UnavailableError
from trueup.eventlog.records import Exposed, Role, Scores, ServedRows, input_fields
from trueup.eventlog.serving_version import Fallback
from trueup.eventlog.writer import LogState, LogWriter
from trueup.experiments.assign import Assignment, assign_among, unit_text
from trueup.experiments.design import Experiment, Exposure, Portfolio, Variant
from trueup.features.online import OnlineReader
from trueup.frame import FeatureFrame
from trueup.models.bundle import Bundle
from trueup_serving.environment_check import CheckedEnvironment
from trueup_serving.verdict_check import CheckedVerdict

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
Ref = tuple[str, str]
"""A model's registered name and version."""
Read = Callable[[Sequence[Row], datetime], FeatureFrame]
"""The features of some rows as of an instant."""


@dataclass(frozen=True)
class ServedModel:
    """A variant's model as it was loaded. contract: the live one, equal to the model's own.

    environment: the one it was trained in against the server's; None when it was not checked.
    verdict: the gate's.
    """

    variant: Variant
    bundle: Bundle
    contract: FeatureContract
    environment: CheckedEnvironment | None
    verdict: CheckedVerdict

    @property
    def ref(self) -> Ref:
        return self.variant.model, str(self.bundle.card.version)


@dataclass(frozen=True)
class Answer:
    """One row's prediction, by the model of the variant its unit is assigned to. fallback: no feature was looked up.
    experiment, exposure: how the row met the experiments."""

    prediction: float
    model: ServedModel
    fallback: bool = False
    experiment: str = ""
    exposure: Exposure = "assigned"


@dataclass(frozen=True)
class Readiness:
    """What the service stands on now. online_store: None when it answers, else why not. fallback: what then."""

    online_store: str | None
    log: LogState
    fallback: Fallback

    @property
    def ready(self) -> bool:
        """Whether a request would be answered. A log that fails loses rows and is reported, but stops no answer."""
        return (self.online_store is None or self.fallback == "missing") and not self.log.closed

    @property
    def degraded(self) -> bool:
        """Whether answers, or their rows, are not what they should be."""
        return self.online_store is not None or self.log.error is not None


class Watch(Protocol):
    """Who is told what becomes of a request."""

    def assigned(self, assignments: Sequence[Assignment]) -> None:
        """Each row's variant, before anything is read."""

    def looked_up(self, contract: FeatureContract, frame: FeatureFrame | None, now: datetime, seconds: float) -> None:
        """The online store was read. frame: None where that, or a function of what it gave, failed."""


class _Nobody:
    def assigned(self, assignments: Sequence[Assignment]) -> None: ...

    def looked_up(
        self, contract: FeatureContract, frame: FeatureFrame | None, now: datetime, seconds: float
    ) -> None: ...


UNWATCHED: Watch = _Nobody()


class RowError(Exception):
    """Rows whose on-demand features cannot be computed. errors: row number -> why."""

    def __init__(self, errors: Mapping[int, ContractError]) -> None:
        super().__init__("; ".join(f"row {row}: {error}" for row, error in errors.items()))
        self.errors = errors


class Service:
    """Serves its experiments with the models it was made with; others are another service (see `following`).

    models: one for each variant of the experiments. readers: contract hash -> reader, one for each contract of the
    models. log: started. ping: raises StoreError when the online store does not answer. fallback: what to do then.
    ticks: monotonic seconds.
    """

    def __init__(
        self,
        design: Portfolio,
        models: Sequence[ServedModel],
        readers: Mapping[str, OnlineReader],
        log: LogWriter,
        ping: Callable[[], None],
        fallback: Fallback = "refuse",
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.design = design
        self.models: Mapping[str, ServedModel] = {model.variant.name: model for model in models}
        self.log = log
        self.readers = readers
        self.ping = ping
        self.fallback: Fallback = fallback
        self._ticks = ticks
        self._given_up: tuple[float, str] | None = None
        # Two variants of one model and version are scored once: an A/A test is two names for one answer.
        self._by_contract: dict[str, dict[Ref, ServedModel]] = {}
        for model in models:
            self._by_contract.setdefault(model.contract.hash, {}).setdefault(model.ref, model)
        self._watched = {each.name: frozenset(self._watching(each)) for each in design.experiments}

    def predict(
        self,
        rows: Sequence[Row],
        request_id: str,
        now: datetime,
        *,
        arrived: float | None = None,
        watch: Watch = UNWATCHED,
    ) -> tuple[Answer, ...]:
        """Each row's answer, in order; every row is logged, once for each model that scored it.

        rows: the entity and request fields of all contracts, and the unit. now: aware; features are read as
        of it. arrived: by `ticks`; where a read was given up since, this one is too, without a wait of its own. A
        failed request logs nothing. watch: told of the assignments and of each read. Raises StoreError (for an online
        store that does not answer only where the fallback is `refuse`), InputError, RowError.
        """
        units = tuple(unit_text(row[self.design.unit]) for row in rows)
        assignments = tuple(assign_among(self.design, unit, now) for unit in units)
        watch.assigned(assignments)
        assigned = tuple(self.models[each.variant.name] for each in assignments)
        scoring = [
            self._watched[each.experiment.name] | {model.ref} for each, model in zip(assignments, assigned, strict=True)
        ]
        served = []
        for contract_hash, models in self._by_contract.items():
            wanted = [at for at, refs in enumerate(scoring) if not refs.isdisjoint(models)]
            if not wanted:
                continue
            inputs, frame, fallback = self._read_or_fall_back(
                contract_hash, rows, wanted, now, arrived, request_id, watch
            )
            answering = [assigned[at].ref for at in wanted]
            served.append(
                ServedRows(
                    contract=self.readers[contract_hash].contract,
                    request_id=request_id,
                    instant=now,
                    experiment=self.design.name,
                    inputs=inputs,
                    frame=frame,
                    rows=tuple(wanted),
                    units=tuple(units[at] for at in wanted),
                    variants=tuple(assigned[at].variant.name for at in wanted),
                    scores=tuple(
                        scores
                        for model in models.values()
                        if (scores := _score(model, frame, answering, [scoring[at] for at in wanted]))
                    ),
                    fallback=fallback,
                    exposed=tuple(_exposed(assignments[at]) for at in wanted),
                )
            )
        answers = {
            (item.rows[position], (scores.model, scores.version)): (prediction, item.fallback)
            for item in served
            for scores in item.scores
            for position, prediction in zip(scores.positions, scores.predictions.tolist(), strict=True)
        }
        for item in served:
            self.log.offer(item)
        found = [answers[at, model.ref] for at, model in enumerate(assigned)]
        return tuple(
            Answer(said, model, fallback, each.experiment.name, each.exposure)
            for (said, fallback), model, each in zip(found, assigned, assignments, strict=True)
        )

    def features(
        self, rows: Sequence[Row], now: datetime, variant: str | None = None, *, arrived: float | None = None
    ) -> tuple[tuple[ServedModel, FeatureFrame], ...]:
        """Each row's features, a frame of one row each, under one variant's contract or, without one, its own's."""
        named = self.models[variant] if variant is not None else None
        units = [unit_text(row[self.design.unit]) for row in rows]
        chosen = [named or self.models[assign_among(self.design, unit, now).variant.name] for unit in units]
        frames: dict[int, FeatureFrame] = {}
        for contract_hash in self._by_contract:
            wanted = [at for at, model in enumerate(chosen) if model.contract.hash == contract_hash]
            if wanted:
                _, frame = self._ask(contract_hash, rows, wanted, now, arrived)
                frames |= {at: frame.slice(position, 1) for position, at in enumerate(wanted)}
        return tuple((model, frames[at]) for at, model in enumerate(chosen))

    def readiness(self) -> Readiness:
        """Asks the online store; may take as long as a read."""
        try:
            self.ping()
        except StoreError as error:
            return Readiness(str(error), self.log.state, self.fallback)
        return Readiness(None, self.log.state, self.fallback)

    def _read_or_fall_back(
        self,
        contract_hash: str,
        rows: Sequence[Row],
        wanted: Sequence[int],
        now: datetime,
        arrived: float | None,
        request_id: str,
        watch: Watch,
    ) -> tuple[pa.Table, FeatureFrame, bool]:
        """The features, and whether they were not looked up."""
        reader = self.readers[contract_hash]
        started = time.perf_counter()
        frame = None
        try:
            inputs, frame = self._ask(contract_hash, rows, wanted, now, arrived)
            return inputs, frame, False
        except UnavailableError as error:
            if self.fallback == "refuse":
                raise
            logger.error("request %s is answered without features: %s", request_id, error)
        finally:
            watch.looked_up(reader.contract, frame, now, time.perf_counter() - started)
        return *self._read(contract_hash, rows, wanted, now, reader.nothing), True

    def _ask(
        self, contract_hash: str, rows: Sequence[Row], wanted: Sequence[int], now: datetime, arrived: float | None
    ) -> tuple[pa.Table, FeatureFrame]:
        """The features of the online store. A read that was given up speaks for the requests that waited behind it:
        with a time-out each, the last of them would wait for all of theirs."""
        if self._given_up is not None and arrived is not None and arrived < self._given_up[0]:
            raise UnavailableError(self._given_up[1])
        try:
            return self._read(contract_hash, rows, wanted, now, self.readers[contract_hash].read)
        except UnavailableError as error:
            self._given_up = self._ticks(), str(error)
            raise

    def _read(
        self, contract_hash: str, rows: Sequence[Row], wanted: Sequence[int], now: datetime, read: Read
    ) -> tuple[pa.Table, FeatureFrame]:
        reader = self.readers[contract_hash]
        fields = input_fields(reader.contract)
        inputs = pa.table({item.name: pa.array([rows[at][item.name] for at in wanted], item.arrow) for item in fields})
        # Read by what is logged, not by what came: a replay of the log must see the same values to the last bit.
        keys = inputs.to_pylist() if fields else [{} for _ in wanted]
        try:
            return inputs, read(keys, now)
        except ContractError as error:
            raise RowError(_failing_rows(read, keys, wanted, now, error)) from error

    def _watching(self, experiment: Experiment) -> Iterator[Ref]:
        """Models that score each row of an experiment, whoever answers it."""
        for variant in experiment.variants:
            if experiment.shadow or variant.shadow:
                yield self.models[variant.name].ref


def _score(
    model: ServedModel, frame: FeatureFrame, assigned: Sequence[Ref], scoring: Sequence[frozenset[Ref]]
) -> Scores | None:
    """assigned, scoring: of each row of the frame, whose model answers and whose models score it."""
    positions = tuple(at for at, refs in enumerate(scoring) if model.ref in refs)
    if not positions:
        return None
    roles: tuple[Role, ...] = tuple("answer" if assigned[at] == model.ref else "shadow" for at in positions)
    name, version = model.ref
    mine = frame if len(positions) == frame.num_rows else _take(frame, positions)
    return Scores(name, version, positions, roles, predict(model.bundle, mine))


def _exposed(assignment: Assignment) -> Exposed:
    return Exposed(assignment.experiment.name, assignment.experiment.hash, assignment.exposure)


def predict(bundle: Bundle, frame: FeatureFrame) -> npt.NDArray[np.float64]:
    """`Bundle.predict`; ModelError where the model gives anything but a finite number for every row."""
    predictions = bundle.predict(frame)
    if predictions.shape != (frame.num_rows,) or not np.isfinite(predictions).all():
        raise ModelError(
            f"model {bundle.card}: it predicted {predictions.tolist()!r} for {frame.num_rows} rows; "
            "expected one finite number for each."
        )
    return predictions


def _take(frame: FeatureFrame, positions: Sequence[int]) -> FeatureFrame:
    rows = pa.array(positions, pa.int64())
    return FeatureFrame(frame.values.take(rows), frame.statuses.take(rows), frame.event_timestamps.take(rows))


def _failing_rows(
    read: Read, keys: Sequence[Row], wanted: Sequence[int], now: datetime, error: ContractError
) -> dict[int, ContractError]:
    """Which rows an on-demand function fails on: they are tried one by one. The first, if none fails alone."""
    failing: dict[int, ContractError] = {}
    for at, row in zip(wanted, keys, strict=True):
        try:
            read([row], now)
        except ContractError as alone:
            failing[at] = alone
    return failing or {wanted[0]: error}
