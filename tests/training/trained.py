"""What the `run` fixture is: `train` on the shop, with any of its arguments replaced."""

from __future__ import annotations

from collections.abc import Callable

from trueup_training.train import TrainedModel

Train = Callable[..., TrainedModel]
