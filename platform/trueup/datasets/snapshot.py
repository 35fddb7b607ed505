"""`Snapshot`: a training set that is kept. Built, loaded byte for byte, and built again from its own manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from trueup.contracts.contract import FeatureContract
from trueup.datasets.entity_rows import Counts
from trueup.datasets.ledger_state import LedgerState, PinnedLedger, ledger_states
from trueup.datasets.manifest import Manifest, Part
from trueup.datasets.parquet_bytes import WRITER
from trueup.datasets.spec import DatasetSpec
from trueup.datasets.storage import find_snapshot, read_manifest, read_table, write_snapshot
from trueup.datasets.training_set import Progress, TrainingSet, read_training_set
from trueup.errors import DatasetError
from trueup.frame import FeatureFrame
from trueup.stores.ledger import Ledger

ROWS = "rows.parquet"
FEATURES = "features.parquet"
STATUSES = "statuses.parquet"
EVENT_TIMESTAMPS = "event_timestamps.parquet"
_PARTS = {ROWS, FEATURES, STATUSES, EVENT_TIMESTAMPS}


@dataclass(frozen=True)
class Snapshot:
    """folder: where it lies. manifest: what it is. counts: of the build that made it, or else of the manifest."""

    folder: Path
    manifest: Manifest
    counts: Counts

    @property
    def id(self) -> str:
        return self.manifest.id

    def load(self) -> TrainingSet:
        """The training set, every byte of it checked. Raises DatasetError when one is not what the manifest says."""
        tables = {part.name: read_table(self.folder, part) for part in self.manifest.parts}
        if tables.keys() != _PARTS:
            raise DatasetError(
                f"{self.folder}: its parts are {', '.join(tables) or 'none'}; expected {', '.join(sorted(_PARTS))}."
            )
        frame = FeatureFrame(tables[FEATURES], tables[STATUSES], tables[EVENT_TIMESTAMPS])
        return TrainingSet(tables[ROWS], frame, self.manifest.spec.rows.label, self.counts)


def build_snapshot(
    spec: DatasetSpec,
    contract: FeatureContract,
    *,
    repo: Path,
    root: Path,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> Snapshot:
    """Reads a training set and keeps it in `<root>/<name>/<id>`. The same spec, contract and data give the same bytes.

    Raises as `read_training_set` does, and DatasetError when the folder cannot be written.
    """
    pinned = None if ledger is None else PinnedLedger(ledger, spec.pinned)
    states = ledger_states(contract, pinned) if spec.rule.known_at == "served" else {}
    data = read_training_set(spec, contract, repo=repo, ledger=ledger, progress=progress)
    if progress is not None:
        progress("snapshot")
    return keep_snapshot(data, spec, contract, root=root, ledger=states)


def keep_snapshot(
    data: TrainingSet,
    spec: DatasetSpec,
    contract: FeatureContract,
    *,
    root: Path,
    ledger: Mapping[str, LedgerState] | None = None,
) -> Snapshot:
    """Writes a training set that was read by `spec` and `contract`. ledger: what the ledger said of its views."""

    def describe(parts: tuple[Part, ...]) -> Manifest:
        return Manifest(
            spec=spec,
            contract=contract,
            ledger=ledger or {},
            counts=replace(data.counts, label_unknown=None),
            schema={field.name: str(field.type) for field in (*data.rows.schema, *data.features.values.schema)},
            content=data.digest,
            parts=parts,
            writer=WRITER,
        )

    folder = write_snapshot(root, _tables(data), describe)
    return Snapshot(folder, read_manifest(folder), data.counts)


def build_again(
    manifest: Manifest,
    *,
    repo: Path,
    root: Path,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> Snapshot:
    """What the manifest's own definitions, query and as-of rule give of the sources as they are now.

    It runs the manifest's SQL and on-demand functions, so only for a snapshot that is trusted as code is. Its id is the
    manifest's when nothing changed. Raises as `build_snapshot` does.
    """
    return build_snapshot(manifest.spec, manifest.contract, repo=repo, root=root, ledger=ledger, progress=progress)


def open_snapshot(ref: str, root: Path) -> Snapshot:
    """A snapshot by folder, id or the first digits of its id in `root`; no part is read.

    Raises DatasetError when there is none, or its manifest is not what its id was given for.
    """
    folder = find_snapshot(ref, root)
    manifest = read_manifest(folder)
    return Snapshot(folder, manifest, manifest.counts)


def _tables(data: TrainingSet) -> dict[str, pa.Table]:
    """Part -> its rows. Values and statuses have the same column names, so each has a file of its own."""
    return {
        ROWS: data.rows,
        FEATURES: data.features.values,
        STATUSES: data.features.statuses,
        EVENT_TIMESTAMPS: data.features.event_timestamps,
    }
