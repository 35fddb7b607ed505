"""`Manifest`: everything a training snapshot is made of, and its identity. Pure.

Its id is a hash of all it says, so an id names definitions, as-of rule, query and bytes at once. Nothing in it depends
on when or where it was built: built again from the same inputs, it is the same file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trueup.contracts.contract import FeatureContract
from trueup.datasets.entity_rows import Counts
from trueup.datasets.ledger_state import LedgerState
from trueup.datasets.spec import DatasetSpec
from trueup.errors import DatasetError, TrueupError
from trueup.hashing import digest

FORMAT = 1
"""Version of the JSON form; bump it when a field changes its meaning."""
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class Part:
    """One Parquet file of a snapshot. bytes: its size. sha256: of the file, in hex."""

    name: str
    rows: int
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True)
class Manifest:
    """spec: entity query, windows and the pinned as-of rule. contract: the features as they were defined.

    ledger: view -> what the materialization ledger said of it (only `served` asks; a view it does not know is left
    out). counts: rows of each window; how many had no answer in time is not recorded, since later rows change it.
    schema: column -> Arrow type, of entity rows and features. content: `table_digest` of both, which does not depend
    on how they are written. writer: what decides the bytes beside the content.
    """

    spec: DatasetSpec
    contract: FeatureContract
    ledger: Mapping[str, LedgerState]
    counts: Counts
    schema: Mapping[str, str]
    content: str
    parts: tuple[Part, ...]
    writer: Mapping[str, str]

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of everything else, in hex."""
        return digest(self._said())

    def __str__(self) -> str:
        """`name@id`, cut short, as messages name a snapshot."""
        return f"{self.spec.name}@{self.id[:12]}"

    @property
    def rows(self) -> int:
        return self.counts.train + self.counts.holdout

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, **self._said()}

    def to_bytes(self) -> bytes:
        """The file: JSON with sorted keys, for people to read and for `diff` to compare line by line."""
        return (json.dumps(self.to_json(), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    def _said(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "spec": self.spec.to_json(),
            "contract": self.contract.to_json(),
            "ledger": {view: state.to_json() for view, state in self.ledger.items()},
            "counts": {
                "train": self.counts.train,
                "holdout": self.counts.holdout,
                "not_sampled": self.counts.not_sampled,
            },
            "schema": dict(self.schema),
            "content": self.content,
            "parts": [part.to_json() for part in self.parts],
            "writer": dict(self.writer),
        }

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Raises DatasetError when it is no manifest, of another format, or not what its id was given for."""
        try:
            data = json.loads(content)
            found = data.get("format")
        except (ValueError, AttributeError) as error:
            raise DatasetError(f"{MANIFEST_FILE} is not a JSON object: {error}.", hint=_AGAIN) from error
        if found != FORMAT:
            raise DatasetError(
                f"{MANIFEST_FILE} is of format {found!r}; this version reads {FORMAT}.",
                hint="Use the version of trueup that wrote it, or build the snapshot again.",
            )
        try:
            manifest = _manifest(data)
        except TrueupError as error:
            raise DatasetError(f"{MANIFEST_FILE} was edited or damaged: {error.message}", hint=_AGAIN) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"{MANIFEST_FILE} is incomplete ({type(error).__name__}: {error}).", hint=_AGAIN
            ) from error
        said = data.pop("id", None)
        # Of the file's own values: what is read of them must not hide what was added to them.
        content_id = digest(data)
        if said != content_id or manifest.id != content_id:
            raise DatasetError(
                f"{MANIFEST_FILE} hashes to {content_id[:12]}, but says that it is {str(said)[:12]}: it was edited or "
                "damaged.",
                hint=_AGAIN,
            )
        return manifest


_AGAIN = "Take the snapshot from where it was kept, or build it again (trueup dataset build)."


_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _manifest(data: Mapping[str, Any]) -> Manifest:
    counts = data["counts"]
    for name in (data["spec"]["name"], *(part["name"] for part in data["parts"])):
        if not _FILE_NAME.fullmatch(name):  # somebody else's manifest must not lead out of its folder
            raise ValueError(f"{name!r} is no name of a file")
    return Manifest(
        spec=DatasetSpec.from_json(data["spec"]),
        contract=FeatureContract.from_json(data["contract"]),
        ledger={view: LedgerState(state["runs"], state["digest"]) for view, state in data["ledger"].items()},
        counts=Counts(counts["train"], counts["holdout"], counts["not_sampled"], None),
        schema=dict(data["schema"]),
        content=data["content"],
        parts=tuple(Part(part["name"], part["rows"], part["bytes"], part["sha256"]) for part in data["parts"]),
        writer=dict(data["writer"]),
    )
