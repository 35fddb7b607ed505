"""The manifest of a small snapshot, part digests and all: its bytes may change only when that is meant.

They change with the format, and with the version of pyarrow, which writes the parts. Regenerate:

    python -m tests.golden.snapshot
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.trueup.datasets.examples import kept

from trueup.datasets.ledger_state import LedgerState
from trueup.datasets.manifest import MANIFEST_FILE

PATH = Path(__file__).with_name("snapshot.json")


def manifest() -> bytes:
    """What trueup writes now."""
    with tempfile.TemporaryDirectory() as folder:
        return (kept(Path(folder), ledger={"buyer": LedgerState(3, "e" * 64)}).folder / MANIFEST_FILE).read_bytes()


if __name__ == "__main__":
    PATH.write_bytes(manifest())
