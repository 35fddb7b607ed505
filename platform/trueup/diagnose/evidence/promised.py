"""What a model's run promised, and what is in the store of it: read once, before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueup.diagnose.facts import Known, Missing
from trueup.diagnose.metrics import Floats
from trueup.errors import ModelError
from trueup.models.bundle import Bundle
from trueup.models.fitted import FITTED_FILE, PREDICTIONS_FILE, fitted_state, read_fitted, read_predictions
from trueup.models.tracking import Registered, Tracking


@dataclass(frozen=True)
class Promised:
    """bundle: the model in the store, with its card. predictions: of the holdout, as the run kept them. fitted: part ->
    digest of what the run's fit learned. reproduction: the newest record of `trueup reproduce`, None without one."""

    name: str
    version: str
    bundle: Bundle
    predictions: Known[Floats]
    fitted: Known[Mapping[str, str]]
    reproduction: Mapping[str, Any] | None = None

    @property
    def same_fit(self) -> bool | None:
        """Whether the model in the store learned what its run recorded; None where that cannot be told."""
        if isinstance(self.fitted, Missing):
            return None
        try:
            return fitted_state(self.bundle.estimator) == dict(self.fitted)
        except ModelError:  # another kind of estimator, whose state nobody knows how to read
            return None

    @property
    def culprits(self) -> tuple[str, ...] | None:
        """What the newest reproduction named; None without one."""
        return None if self.reproduction is None else tuple(map(str, self.reproduction.get("named", ())))


def load_promised(tracking: Tracking, found: Registered) -> Promised:
    """Raises ModelError when the model itself cannot be read: then there is nothing to diagnose."""
    bundle = tracking.load_bundle(found.name, found.version)
    version = str(found.version)
    if bundle.card.adopted is not None or found.run_id is None:
        why = Missing("the model was adopted: what its training recorded is not known")
        return Promised(found.name, version, bundle, why, why)
    return Promised(
        found.name,
        version,
        bundle,
        _kept(tracking, found, PREDICTIONS_FILE, read_predictions),
        _kept(tracking, found, FITTED_FILE, read_fitted),
        tracking.load_reproduction(found.run_id),
    )


def _kept(tracking: Tracking, found: Registered, name: str, read: Any) -> Any:
    try:
        return read(tracking.load_file(found.name, found.version, name))
    except ModelError as error:
        return Missing(f"{name} of its run cannot be read ({error.message.rstrip('.')})")
