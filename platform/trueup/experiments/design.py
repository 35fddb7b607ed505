"""The design of an experiment: its variants, their weights, and the unit they are assigned by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from trueup.errors import InputError


@dataclass(frozen=True)
class Variant:
    """One arm: the registered model, by alias, that answers the units assigned to it.

    weight: its share is weight / sum of all weights. 0 gets no unit: with shadows on, its model is only watched.
    """

    name: str
    model: str
    alias: str
    weight: int

    def __post_init__(self) -> None:
        for field in ("name", "model", "alias"):
            if not getattr(self, field):
                raise InputError(field, f"variant {self.name!r}: {field} is empty.")
        # bool is an int: `weight = true` would be a silent 1.
        if isinstance(self.weight, bool) or not isinstance(self.weight, int) or self.weight < 0:
            raise InputError(
                "weight", f"variant {self.name!r}: weight {self.weight!r} is not a whole number, 0 or more."
            )


@dataclass(frozen=True)
class Design:
    """An experiment.

    unit: the field of a request row whose value decides the variant (a user, a flight). salt: changes every
    assignment; two experiments with different salts assign independently. The order of the variants matters:
    it says which part of the hash range is whose. shadow: whether the other variants' models score each row
    too, for the log only.
    """

    name: str
    unit: str
    salt: str
    variants: tuple[Variant, ...]
    shadow: bool = False

    def __post_init__(self) -> None:
        for field in ("name", "unit", "salt"):
            if not getattr(self, field):
                raise InputError(field, f"experiment {self.name!r}: {field} is empty.")
        names = [variant.name for variant in self.variants]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError("variants", f"experiment {self.name!r}: two variants are named {twice[0]!r}.")
        if not self.total:
            raise InputError(
                "variants",
                f"experiment {self.name!r}: the weights of its variants ({', '.join(names) or 'none'}) add up to 0; "
                "at least one must get units.",
            )

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Running sums of the weights, one for each variant."""
        return tuple(accumulate(variant.weight for variant in self.variants))

    @property
    def total(self) -> int:
        return self.bounds[-1] if self.bounds else 0

    def variant(self, name: str) -> Variant:
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.variants)
        raise InputError("variant", f"experiment {self.name!r} has no variant {name!r}; it has {names}.")
