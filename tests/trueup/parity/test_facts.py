"""What a report says of the environment a model was trained in, against its own."""

from __future__ import annotations

from dataclasses import replace

from trueup.models.environment import Package, take_environment
from trueup.parity.runs.facts import environment_fact

HERE = take_environment()
KNOWN = replace(HERE, packages=(Package("numpy", "2.0", "a" * 64),), cpu_features=("X86_V2",), libc="glibc 2.36")


def test_the_same_is_said_to_be_the_same() -> None:
    assert environment_fact(KNOWN, replace(KNOWN, time_zone="JST/JST (UTC+9)")) == "same as here"


def test_the_first_differences_that_can_change_numbers_are_named() -> None:
    other = replace(KNOWN, packages=(Package("numpy", "1.0", None),), cpu_features=(), libc="musl", machine="vax")
    assert environment_fact(other, KNOWN) == (
        "4 differences that can change numbers: package numpy: 1.0 -> 2.0; CPU features: none -> X86_V2; "
        f"machine: vax -> {KNOWN.machine}; and 1 more"
    )


def test_what_is_not_known_is_said_beside_what_is() -> None:
    older = replace(KNOWN, cpu_features=None)
    assert environment_fact(older, KNOWN) == "nothing is known to differ; 1 part is not known: CPU features"
    assert environment_fact("nobody logged it.", KNOWN) == "not known: nobody logged it."
