"""What a read-out is computed from, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trueup.eventlog.labelled import Labelled
from trueup.experiments.changes import SplitChange
from trueup.experiments.design import Experiment

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ParityRate:
    """How much of what a model was served is not what training would read. why: it could not be compared."""

    compared: int
    mismatched: int
    unexplained: int
    why: str | None = None

    @property
    def share(self) -> float:
        return self.mismatched / self.compared if self.compared else float("nan")


@dataclass(frozen=True)
class ReadoutFacts:
    """rows: every row of the experiment in the window, answers and shadows: the log's own columns, covariates and
    segments among them. outcomes: (outcome, delay, absent) by metric name -> the rows joined with it, or why not.
    parity: variant -> its model's rate; None: it was not asked for. changes: of the running split. lost: reason -> rows
    or files that are in nothing here.
    """

    experiment: Experiment
    rows: pa.Table
    outcomes: Mapping[str, Labelled | str]
    denominators: Mapping[str, Labelled | str]
    parity: Mapping[str, ParityRate] | None
    changes: tuple[SplitChange, ...]
    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    segments: tuple[str, ...] = ()
    lost: Mapping[str, int] = field(default_factory=dict)
