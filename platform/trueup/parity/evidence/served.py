"""The served log, chunk by chunk and model by model, as cases to examine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError, SourceError, TrueupError
from trueup.eventlog.foreign import ServiceLog
from trueup.eventlog.layout import SUFFIX
from trueup.eventlog.logged import LoggedRows
from trueup.eventlog.parquet import Damaged, files_under
from trueup.eventlog.reader import find_logs, read_contract, read_serving
from trueup.eventlog.records import REQUEST_ID, ROLE, ROW, SERVING_VERSION
from trueup.eventlog.serving_version import Document
from trueup.eventlog.stream import stream_log
from trueup.instants import AsOfRule, KnownAt
from trueup.parity.checks.served import COULD_NOT_RUN, ServedModel, ServedTotal, examined
from trueup.parity.evidence.cases import Basis, Log, comparable, served_case
from trueup.parity.evidence.log_chunks import LeftOut, Name, Selection, by_model, chunks, instants
from trueup.parity.evidence.models import CardOf, Progress, TrainedModel, nothing
from trueup.parity.evidence.recompute import INSTANT, Source
from trueup.parity.explain import Rows
from trueup.parity.serving import Under, Versions, together
from trueup.parity.tally import Labels
from trueup.stores.ledger import Ledger

OTHER_CONTRACT = "served under another contract than the model's"


@dataclass(frozen=True)
class Service:
    """What stands in for a model's card where a log names no model. contract: the whole one."""

    contract: FeatureContract
    rule: AsOfRule


@dataclass
class ModelTotal:
    """All that a log says of one model version. card: None where it cannot be had. known_at: the rule's. serving: the
    versions its rows were served under."""

    model: str
    version: str | None
    card: TrainedModel | None
    known_at: KnownAt
    total: ServedTotal
    serving: Versions = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.model if self.version is None else f"{self.model}@{self.version}"


def own_logs(log_dir: Path, selection: Selection) -> list[Log]:
    """The logs of trueup's own under a directory, sorted. Raises InputError when there is none of them."""
    directories = find_logs(log_dir) if log_dir.is_dir() else ()
    if not directories:
        raise InputError(
            "log",
            f"log: there is no served log under {log_dir}.",
            hint="Name the directory the server writes to (its setting log_dir), or serve some requests first.",
        )
    contracts = {directory: read_contract(directory) for directory in directories}
    services = sorted({contract.service for contract in contracts.values()})
    if selection.service is not None and selection.service not in services:
        raise InputError(
            "service",
            f"there is no log of service {selection.service!r} under {log_dir}, only of: {', '.join(services)}.",
        )
    return [
        Log(
            f"{directory.parent.name}/{directory.name}",
            directory,
            contract,
            stream_log(directory, contract, start=selection.start, end=selection.end),
            tuple(c for where, c in contracts.items() if where != directory and c.service == contract.service),
        )
        for directory, contract in contracts.items()
        if selection.service is None or contract.service == selection.service
    ]


def strays(log_dir: Path) -> list[Damaged]:
    """What lies under a directory of logs and is in none of them."""
    directories = find_logs(log_dir)
    files, closed = files_under(log_dir)
    found = [*closed, *(Damaged(file, None, "is in no contract's log") for file in files if file.suffix == SUFFIX)]
    return [item for item in found if not any(item.path.is_relative_to(directory) for directory in directories)]


def service_log(log: ServiceLog) -> Log:
    """A log that trueup did not write."""
    return Log(
        str(log.log.path),
        log.log.path,
        log.contract,
        log.read(),
        service=log.service,
        left_out=log.left_out,
        notes=log.notes(),
    )


def served_totals(
    log: Log, card_of: CardOf, selection: Selection, left: LeftOut, basis: Basis, progress: Progress = nothing
) -> list[ModelTotal]:
    """What each model version in a log was served, by name and version; without a name, the feature service was.

    left: told what is in no total.
    """
    progress(f"read {log.label}")
    known: dict[Name, ModelTotal] = {}
    for chunk in chunks(log.pieces, selection, left):
        # One source for all models of a chunk: they were scored on the same rows, which are then read once.
        questions = chunk.inputs.append_column(INSTANT, chunk.at)
        source = Source(questions, repo=basis.repo, ledger=basis.ledger, progress=progress)
        for name, rows in by_model(chunk):
            mine = known[name] = known.get(name) or _open(name, log, card_of, basis)
            progress(f"check {mine.label}")
            mine.total += _examined(log, mine, chunk, source, rows, basis)
            mine.serving = together(mine.serving, _served_under(chunk, rows))
    for name, reasons in left.rows.items():
        if reasons:
            mine = known[name] = known.get(name) or _open(name, log, card_of, basis)
            mine.total += ServedTotal(uncompared=reasons)
    for name, found in left.notes.items():
        if name in known:
            known[name].total += ServedTotal(notes=found)
    return [known[name] for name in sorted(known, key=lambda name: tuple(str(part) for part in name))]


def default_rule(contract: FeatureContract, ledger: Ledger | None) -> AsOfRule:
    """Where no model says a rule: `served` if the ledger knows a run of one of the service's views, else `label`."""
    tables = dict.fromkeys(view.table for view in contract.views)
    known = ledger is not None and any(ledger.runs(contract.project, table) for table in tables)
    return AsOfRule("served" if known else "label")


def _open(name: Name, log: Log, card_of: CardOf, basis: Basis) -> ModelTotal:
    """A model as it is first met: its card, or why there is none."""
    model, version = name
    subject = log.contract.service if model is None else model
    card: TrainedModel
    try:
        if basis.project is not None and log.contract.project != basis.project:
            raise InputError(
                "log",
                f"log {log.label} is of Feast project {log.contract.project!r}, "
                f"the repository is project {basis.project!r}.",
                hint="Name the repository it was served from with --repo.",
            )
        if model is None:
            card = Service(log.whole, basis.rule or default_rule(log.contract, basis.ledger))
        else:
            card = card_of(model, str(version))
    except TrueupError as error:
        return ModelTotal(subject, version, None, "served", ServedTotal(problems=(str(error),)))
    return ModelTotal(subject, version, card, (basis.rule or card.rule).known_at, ServedTotal())


def _examined(log: Log, model: ModelTotal, chunk: LoggedRows, source: Source, rows: Rows, basis: Basis) -> ServedTotal:
    """The chunk's rows of one model."""
    if model.card is None:
        return ServedTotal(uncompared={COULD_NOT_RUN: len(rows)})
    try:
        contract, absent = comparable(model.card.contract, log, chunk)
        if not contract.columns:
            return ServedTotal(uncompared={OTHER_CONTRACT: len(rows)})
        part = _part(log, model, contract, chunk, source, rows, basis)
    except TrueupError as error:
        return ServedTotal(uncompared={COULD_NOT_RUN: len(rows)}, problems=(str(error),))
    return examined(replace(part, contract=model.card.contract, absent=absent))


def _part(
    log: Log,
    model: ModelTotal,
    contract: FeatureContract,
    chunk: LoggedRows,
    source: Source,
    rows: Rows,
    basis: Basis,
) -> ServedModel:
    """contract: of what is compared."""
    assert model.card is not None, "whoever has no card has no rows to compare"
    whole = served_case(log, model.card.contract, model.known_at, contract, chunk, source, basis)
    named = (chunk.labels.column(name).combine_chunks() for name in (REQUEST_ID, ROW, ROLE))
    labels = Labels(instants(chunk.at), *named)
    if labels.role is not None and labels.role.null_count == len(labels.role):
        labels = replace(labels, role=None)
    misfits: dict[str, dict[str, int]] = {}
    for (feature, kind), mask in chunk.misfits.items():
        misfits.setdefault(feature, {})[kind] = int(mask[rows].sum())
    notes = {name: int(counts[rows].sum()) for name, counts in chunk.notes.items()}
    return ServedModel(
        model.model,
        model.version,
        whole.subset(rows),
        labels.subset(rows),
        misfits=misfits,
        notes={name: count for name, count in notes.items() if count},
    )


def serving_documents(log: Log, versions: Iterable[str | None]) -> dict[str, Document | str]:
    """What the versions say that rows of the log name, or why that is not known."""
    found: dict[str, Document | str] = {}
    for version in versions:
        if version is not None:
            try:
                found[version] = read_serving(log.root, version)
            except SourceError as error:
                found[version] = str(error)
    return found


def _served_under(chunk: LoggedRows, rows: Rows) -> dict[str | None, Under]:
    named = chunk.labels.column(SERVING_VERSION).combine_chunks().take(pa.array(rows))
    groups = pa.table({"version": named, "at": chunk.at.take(pa.array(rows))}).group_by("version")
    found = groups.aggregate([([], "count_all"), ("at", "min")]).to_pylist()
    return {each["version"]: Under(each["count_all"], each["at_min"]) for each in found}
