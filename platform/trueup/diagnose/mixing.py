"""Features partly as served and partly recomputed: cell by cell, a set of causes or of features at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.diagnose.facts import Bits, Mask, Predict
from trueup.diagnose.games import Coalition
from trueup.diagnose.metrics import Floats
from trueup.frame import FeatureFrame
from trueup.parity.causes import BIT, CAUSES, UNEXPLAINED

_UNEXPLAINED_BIT = np.uint64(1) << np.uint64(63)
"""No cause has it: there are fewer."""

Switch = Callable[[Coalition], Mapping[str, Mask]]
"""Which cells of each feature are as served when these players play."""


class Mixer:
    """offline, served: the same rows. inputs: the features that count; others change no prediction.

    cells: feature -> its cells that differ; all others are the same on both sides.
    """

    def __init__(
        self,
        offline: FeatureFrame,
        served: FeatureFrame,
        cells: Mapping[str, Mask],
        inputs: Sequence[str],
        predict: Predict,
    ) -> None:
        self.cells = {name: mask for name, mask in cells.items() if name in inputs and mask.any()}
        touched = np.zeros(served.num_rows, np.bool_)
        for mask in self.cells.values():
            touched |= mask
        self._touched = np.flatnonzero(touched)
        rows = pa.array(self._touched, pa.int64())
        self._offline, self._served = (
            FeatureFrame(*(part.take(rows) for part in (f.values, f.statuses, f.event_timestamps)))
            for f in (offline, served)
        )
        self._predict = predict
        self.base = predict(offline)

    def predictions(self, switched: Mapping[str, Mask]) -> Floats:
        """Of all rows, with these cells as served and the others as recomputed."""
        if not len(self._touched):
            return self.base
        columns = []
        for name, column in zip(self._offline.columns, self._offline.values.columns, strict=True):
            mask = switched.get(name)
            served = self._served.values.column(name)
            if mask is None or not mask.any():
                columns.append(column)
            else:
                chosen = pa.array(mask[self._touched])
                columns.append(pc.if_else(chosen, served.combine_chunks(), column.combine_chunks()))
        values = pa.table(dict(zip(self._offline.columns, columns, strict=True)))
        mixed = FeatureFrame(values, self._offline.statuses, self._offline.event_timestamps)
        found = self.base.copy()
        found[self._touched] = self._predict(mixed)
        return found


def by_causes(cells: Mapping[str, Mask], causes: Mapping[str, Bits]) -> tuple[tuple[str, ...], Switch]:
    """The causes there are, in parity's order, and which cells they switch: one with two causes when both play."""
    bits = {name: np.where(causes[name] == 0, _UNEXPLAINED_BIT, causes[name]) for name in cells}
    every = np.uint64(0)
    for name, mask in cells.items():
        every |= np.bitwise_or.reduce(bits[name][mask]) if mask.any() else np.uint64(0)
    names = tuple(cause.name for cause in CAUSES if every & BIT[cause.name])
    if every & _UNEXPLAINED_BIT:
        names = (*names, UNEXPLAINED)

    def switch(coalition: Coalition) -> dict[str, Mask]:
        playing = np.uint64(0)
        for player in coalition:
            playing |= bit_of(names[player])
        return {name: mask & ((bits[name] & ~playing) == 0) for name, mask in cells.items()}

    return names, switch


def by_groups(cells: Mapping[str, Mask], groups: Sequence[Sequence[str]]) -> Switch:
    """A player is a group of features: all cells of them."""

    def switch(coalition: Coalition) -> dict[str, Mask]:
        return {name: cells[name] for player in coalition for name in groups[player]}

    return switch


def bit_of(cause: str) -> np.uint64:
    return _UNEXPLAINED_BIT if cause == UNEXPLAINED else BIT[cause]


def cells_of(cause: str, cells: Mapping[str, Mask], causes: Mapping[str, Bits]) -> dict[str, int]:
    """Feature -> how many of its cells have the cause."""
    found: dict[str, int] = {}
    for name, mask in cells.items():
        mine: npt.NDArray[np.bool_] = causes[name] == 0 if cause == UNEXPLAINED else (causes[name] & bit_of(cause)) != 0
        if count := int((mine & mask).sum()):
            found[name] = count
    return found
