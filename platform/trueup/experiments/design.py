"""The design of an experiment: variants, their weights, the unit they are assigned by, and who takes part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, combinations
from typing import Any, Literal, get_args

from trueup.errors import InputError
from trueup.experiments.metric import Metric
from trueup.hashing import digest
from trueup.instants import format_instant

Exposure = Literal["assigned", "holdout", "not in traffic", "outside layer", "not started", "ended"]
EXPOSURES: tuple[Exposure, ...] = get_args(Exposure)
"""Why a unit is answered as it is. assigned: by its variant. Every other is answered by the control, outside of the
experiment: holdout: kept out to be compared with later. not in traffic: the ramp has not come to it. outside layer: its
part of the layer is another experiment's, or nobody's. not started, ended: the experiment is not running."""


@dataclass(frozen=True)
class Variant:
    """One arm: the registered model, by alias, that answers the units assigned to it.

    weight: its share is weight / sum of all weights. 0 gets no unit: with shadows on, its model is only watched.
    shadow: its model scores every row for the log, and never answers; its weight is 0.
    """

    name: str
    model: str
    alias: str
    weight: int
    shadow: bool = False

    def __post_init__(self) -> None:
        for field in ("name", "model", "alias"):
            if not getattr(self, field):
                raise InputError(field, f"variant {self.name!r}: {field} is empty.")
        # bool is an int: `weight = true` would be a silent 1.
        if isinstance(self.weight, bool) or not isinstance(self.weight, int) or self.weight < 0:
            raise InputError(
                "weight", f"variant {self.name!r}: weight {self.weight!r} is not a whole number, 0 or more."
            )
        if self.shadow and self.weight:
            raise InputError(
                "weight",
                f"variant {self.name!r}: a shadow never answers, so its weight is 0, not {self.weight}.",
                hint="Leave weight out, or shadow.",
            )


@dataclass(frozen=True)
class Layer:
    """A part of the units, shared with no other experiment of the layer. begin <= position < end, in 0 to 1. salt: of
    the layer, the same for all its experiments."""

    name: str
    salt: str
    begin: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        for field in ("name", "salt"):
            if not getattr(self, field):
                raise InputError(f"layer.{field}", f"layer {self.name!r}: {field} is empty.")
        if not 0 <= self.begin < self.end <= 1:
            raise InputError(
                "layer", f"layer {self.name!r}: {self.begin:g} to {self.end:g} is no part of 0 to 1.", hint="from < to"
            )


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    unit: the field of a request row whose value decides the variant (a user, a flight). salt: changes every
    assignment; two experiments with different salts assign independently. The order of the variants matters:
    it says which part of the hash range is whose. shadow: whether the other variants' models score each row
    too, for the log only. control: the variant that the others are compared with, and that answers units which do not
    take part; the first by default. start, end: half open, aware; None: open. traffic: share of the units that take
    part. holdout: share that is kept out, whatever the traffic.
    """

    name: str
    unit: str
    salt: str
    variants: tuple[Variant, ...]
    shadow: bool = False
    control: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    traffic: float = 1.0
    holdout: float = 0.0
    layer: Layer | None = None
    metrics: tuple[Metric, ...] = ()
    guardrails: tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "unit", "salt"):
            if not getattr(self, field):
                raise InputError(field, f"experiment {self.name!r}: {field} is empty.")
        names = [variant.name for variant in self.variants]
        if twice := _twice(names):
            raise InputError("variants", f"experiment {self.name!r}: two variants are named {twice!r}.")
        if not self.total:
            raise InputError(
                "variants",
                f"experiment {self.name!r}: the weights of its variants ({', '.join(names) or 'none'}) add up to 0; "
                "at least one must get units.",
            )
        for field in ("traffic", "holdout"):
            if not 0 <= getattr(self, field) <= 1:
                raise InputError(
                    field, f"experiment {self.name!r}: {field} {getattr(self, field):g} is no share; expected 0 to 1."
                )
        if self.control is not None and self.variant(self.control).shadow:
            raise InputError("control", f"experiment {self.name!r}: its control {self.control!r} never answers.")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise InputError(
                "end",
                f"experiment {self.name!r}: end {format_instant(self.end)} is not after start "
                f"{format_instant(self.start)}.",
            )
        if twice := _twice([metric.name for metric in (*self.metrics, *self.guardrails)]):
            raise InputError("metrics", f"experiment {self.name!r}: two metrics are named {twice!r}.")

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Running sums of the weights, one for each variant."""
        return tuple(accumulate(variant.weight for variant in self.variants))

    @property
    def total(self) -> int:
        return self.bounds[-1] if self.bounds else 0

    @property
    def control_variant(self) -> Variant:
        """The named one; else the first that answers."""
        if self.control is not None:
            return self.variant(self.control)
        return next(variant for variant in self.variants if not variant.shadow)

    @property
    def shares(self) -> dict[str, float]:
        """Variant -> share of the units that take part."""
        return {variant.name: float(Fraction(variant.weight, self.total)) for variant in self.variants}

    def variant(self, name: str) -> Variant:
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.variants)
        raise InputError("variant", f"experiment {self.name!r} has no variant {name!r}; it has {names}.")

    def split(self) -> dict[str, Any]:
        """All that decides who gets which variant, as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "salt": self.salt,
            "control": self.control_variant.name,
            "start": None if self.start is None else format_instant(self.start),
            "end": None if self.end is None else format_instant(self.end),
            "traffic": self.traffic,
            "holdout": self.holdout,
            "layer": None if self.layer is None else asdict(self.layer),
            "variants": [asdict(variant) for variant in self.variants],
        }

    @cached_property
    def hash(self) -> str:
        """Of `split`: the version that each served row names."""
        return digest(self.split())


def _twice(names: Iterable[str]) -> str | None:
    seen = list(names)
    return next((name for name in sorted(set(seen)) if seen.count(name) > 1), None)


@dataclass(frozen=True)
class Portfolio:
    """The experiments of one server. A request has one answer, so at most one of them can have a unit: several share
    one layer and no part of it. The first one's control answers the units of nobody's part."""

    experiments: tuple[Experiment, ...]

    def __post_init__(self) -> None:
        if not self.experiments:
            raise InputError("experiments", "experiments: there is none, so no model answers.")
        if twice := _twice([each.name for each in self.experiments]):
            raise InputError("experiments", f"experiments: two are named {twice!r}.")
        if twice := _twice([variant.name for each in self.experiments for variant in each.variants]):
            raise InputError(
                "experiments", f"experiments: two variants of them are named {twice!r}; a server tells them by name."
            )
        for one, other in combinations(self.experiments, 2):
            _check_apart(one, other)

    @property
    def unit(self) -> str:
        return self.experiments[0].unit

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(variant for each in self.experiments for variant in each.variants)

    @property
    def name(self) -> str:
        return ", ".join(each.name for each in self.experiments)

    @property
    def shadow(self) -> bool:
        """Whether a row may be scored by models that do not answer it."""
        return any(each.shadow or any(variant.shadow for variant in each.variants) for each in self.experiments)


def _check_apart(one: Experiment, other: Experiment) -> None:
    both = f"experiments {one.name!r} and {other.name!r}"
    if one.unit != other.unit:
        raise InputError("unit", f"{both} assign by {one.unit!r} and {other.unit!r}; in one layer the unit is one.")
    if one.layer is None or other.layer is None:
        raise InputError(
            "layer",
            f"{both} are served together, and a request has one answer; give each a [layer] with its own part.",
            hint='[layer] name = "main", salt = "main", from = 0.0, to = 0.5',
        )
    if (one.layer.name, one.layer.salt) != (other.layer.name, other.layer.salt):
        raise InputError("layer", f"{both} are in two layers, and a server's requests have one answer each.")
    if one.layer.begin < other.layer.end and other.layer.begin < one.layer.end:
        raise InputError(
            "layer",
            f"{both} share a part of layer {one.layer.name!r}: {one.layer.begin:g} to {one.layer.end:g} and "
            f"{other.layer.begin:g} to {other.layer.end:g}.",
        )
