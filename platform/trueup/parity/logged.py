"""`AsLogged`: recomputed rows as a log or a store would show them: what it does not keep is no difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trueup.contracts.contract import FeatureContract, View
from trueup.frame import STATUS, FeatureFrame, Status
from trueup.parity.case import LandedBy, Recompute, Rows
from trueup.parity.compare import Mask
from trueup.parity.reading import Reading

_UNITS = {1_000: "millisecond", 1_000_000: "second"}


@dataclass(frozen=True)
class AsLogged:
    """A `Recompute` of a log or a store that says less than is read.

    precision: microseconds that the log cuts event times to. vague: feature -> cells of the case whose log has neither
    value nor status: whatever status is recomputed without a value, the log would show the same.
    """

    whole: Recompute
    precision: int = 1
    vague: Mapping[str, Mask] = field(default_factory=dict)

    def __call__(self, contract: FeatureContract, reading: Reading, rows: Rows) -> FeatureFrame:
        frame = self._cut(self.whole(contract, reading, rows))
        if not any(name in frame.columns for name in self.vague):
            return frame
        columns = [
            _unsaid(statuses, self.vague[name][rows]) if name in self.vague else statuses
            for name, statuses in zip(frame.columns, frame.statuses.columns, strict=True)
        ]
        return replace(frame, statuses=pa.Table.from_arrays(columns, names=list(frame.columns)))

    def gather(self, rows: Rows) -> None:
        self.whole.gather(rows)

    def tied(self, view: View, reading: Reading, rows: Rows) -> Mask:
        return self.whole.tied(view, reading, rows)

    def at_event_times(
        self, view: View, reading: Reading, times: Rows, rows: Rows, width: int = 1
    ) -> tuple[npt.NDArray[np.int64], FeatureFrame]:
        found, frame = self.whole.at_event_times(view, reading, times, rows, max(width, self.precision))
        return found, self._cut(frame)

    def event_times(self, view: View, rows: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
        positions, times = self.whole.event_times(view, rows)
        return positions, times - times % self.precision

    def owners(self, view: View, times: Rows, width: int = 1) -> tuple[pa.Table, FeatureFrame]:
        keys, frame = self.whole.owners(view, times, max(width, self.precision))
        return keys, self._cut(frame)

    def instants(self, rows: Rows) -> Rows:
        return self.whole.instants(rows)

    def covered(self, view: View, times: Rows, rows: Rows) -> Mask:
        return self.whole.covered(view, times, rows)

    def landed_by(self, view: View) -> LandedBy:
        return self.whole.landed_by(view)

    def last_definition(self, view: View, times: Rows, rows: Rows) -> npt.NDArray[np.object_]:
        return self.whole.last_definition(view, times, rows)

    def _cut(self, frame: FeatureFrame) -> FeatureFrame:
        return at_precision(frame, self.precision)


def at_precision(frame: FeatureFrame, precision: int) -> FeatureFrame:
    """The frame with event times rounded down to whole `precision` microseconds (1, a millisecond's or a second's)."""
    if precision == 1:
        return frame
    unit = _UNITS[precision]
    times = [pc.floor_temporal(column, unit=unit) for column in frame.event_timestamps.columns]
    return replace(frame, event_timestamps=pa.Table.from_arrays(times, names=frame.event_timestamps.column_names))


def _unsaid(statuses: pa.ChunkedArray, vague: Mask) -> pa.Array:
    numbers = np.asarray(statuses.combine_chunks().to_numpy(zero_copy_only=False))
    return pa.array(np.where(vague & (numbers != Status.PRESENT), Status.NULL, numbers).astype(np.int8), STATUS)
