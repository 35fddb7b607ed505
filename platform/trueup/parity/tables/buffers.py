"""Memory that one column after the other is kept in: getting fresh pages takes longer than reading into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt


class Buffers:
    """As many as are lent at a time, each as large as the largest it was lent for. Threads may share it."""

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []

    @contextmanager
    def lent(self, size: int) -> Iterator[npt.NDArray[np.uint8]]:
        """size: bytes; they hold anything. Whoever borrows them keeps no view of them."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = np.empty(size, np.uint8)
        if len(buffer) < size:
            buffer = np.empty(size, np.uint8)
        try:
            yield buffer
        finally:
            self._free.append(buffer)
