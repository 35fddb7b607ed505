"""What a drift test is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trueup.errors import InputError

LEAST_ROWS = 50
"""Rows a side must have. Five rows are expected in each tenth of a distribution then, the usual least of a bin."""


@dataclass(frozen=True)
class DriftSettings:
    """false_alarm_rate: of a feature that did not change (of one test); over the features of a result it bounds the
    share of false alarms among the alarms (Benjamini-Hochberg).

    effect_rows: the resolution that matters. What two samples of so many rows could not show at that rate is too small
    to count, however many rows there are. min_effect: feature -> smallest distance that counts, in place of what is
    calibrated; it is read on every distance's own scale. resamples: at least so many. seed: of all resampling.
    """

    false_alarm_rate: float = 0.01
    effect_rows: int = 2000
    min_effect: Mapping[str, float] = field(default_factory=dict)
    resamples: int = 1999
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm_rate <= 0.5:
            raise InputError(
                "false_alarm_rate", f"false_alarm_rate: {self.false_alarm_rate} is not above 0 and at most 0.5."
            )
        if self.effect_rows < LEAST_ROWS:
            raise InputError("effect_rows", f"effect_rows: {self.effect_rows} is less than {LEAST_ROWS}.")
        if self.resamples < 1000:
            raise InputError("resamples", f"resamples: {self.resamples}; expected at least 1000.")
        for feature, effect in self.min_effect.items():
            if not 0 <= effect < float("inf"):
                raise InputError(
                    f"min_effect.{feature}", f"min_effect.{feature}: {effect} is not a distance; expected 0 or more."
                )

    @property
    def deals(self) -> int:
        """Resamples of the first look: so many that the rate can be told apart with a dozen distances."""
        return max(self.resamples, int(20 / self.false_alarm_rate) - 1)
