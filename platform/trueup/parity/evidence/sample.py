"""Which entities a run looks at: a share of them, chosen by their keys alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from trueup.hashing import digest
from trueup.parity.compare import Mask
from trueup.parity.evidence.recompute import distinct
from trueup.parity.tally import shown

_BITS = 52
"""As many as a float holds exactly, so that a share is compared without rounding."""


def in_sample(keys: pa.Table, share: float) -> Mask:
    """Rows whose entity is in the sample of this share (0 to 1).

    An entity is in it or not whatever the run, the order of the rows or the types its keys come in; a larger share's
    sample holds a smaller one's. A table without columns is one entity.
    """
    if share >= 1:
        return np.ones(keys.num_rows, np.bool_)
    entities, number = distinct(keys)
    chosen = np.array([_position(list(row.values())) < share for row in entities.to_pylist()], np.bool_)
    return chosen[number]


def _position(key: list[object]) -> float:
    """Where an entity stands, uniform over [0, 1): the first digits of a SHA-256 of its key as text."""
    text = [None if value is None else shown(value) for value in key]
    return float(int(digest(text)[: _BITS // 4], 16) / 2**_BITS)
