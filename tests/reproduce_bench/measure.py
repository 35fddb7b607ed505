"""One world measured: trained, reproduced, something planted, reproduced again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from tests.reproduce_bench import second
from tests.reproduce_bench.site import CommandError, Site, make_site
from tests.reproduce_bench.worlds import WORLDS, World

EVIDENCE = 4
"""Lines of it that are kept of each factor."""


def measure_named(name: str, folder: Path, shop_repo: Path) -> dict[str, Any]:
    """`measure`, for another process: a world holds functions, which do not go there."""
    row = measure(next(world for world in WORLDS if world.name == name), folder, shop_repo)
    shutil.rmtree(folder, ignore_errors=True)  # an environment of its own is hundreds of megabytes
    return row


def measure(world: World, folder: Path, shop_repo: Path) -> dict[str, Any]:
    """A row of the result. What could not be run has its `problem`, and names nothing."""
    began = time.monotonic()
    row: dict[str, Any] = {
        "world": world.name,
        "planted": world.planted,
        "named": None,
        "bit_identical_before": False,
        "bit_identical_after": None,
        "problem": None,
    }
    try:
        site, before = first(world, folder, shop_repo)
        row |= {"bit_identical_before": _identical(before), "named_before": _named(before)}
        after = world.plant(site).reproduce(*world.options)
        row |= _after(after)
    except CommandError as error:
        row["problem"] = str(error)
    return {**row, "right": is_right(row), "seconds": round(time.monotonic() - began, 1)}


def first(world: World, folder: Path, shop_repo: Path) -> tuple[Site, dict[str, Any]]:
    """The site after its training, and what came of reproducing it before anything was planted."""
    site = make_site(folder, shop_repo, sources=world.sources)
    if world.second:
        site = second.with_older_lock(site)
    site = world.prepare(site)
    site.commit("one")
    if world.second:
        site = second.inside_its_lock(site)
    site = world.dirty(site).train()
    before = site.reproduce()
    return site, before


def is_right(row: dict[str, Any]) -> bool:
    """Reproduced to the bit with nothing named before; then exactly what was planted is named, and nothing else."""
    return bool(
        row["problem"] is None
        and row["bit_identical_before"]
        and row["named_before"] is None
        and row["bit_identical_after"]
        and row["named"] == row["planted"]
    )


def _after(said: dict[str, Any]) -> dict[str, Any]:
    today = said["today"]
    trials = today["trials"] or {}
    return {
        "named": _named(said),
        "bit_identical_after": _identical(said),
        "problem": today["problem"],
        "moved": {factor: lines[:EVIDENCE] for factor, lines in today["moved"].items()},
        "without_it_the_same_again": (trials["put_back"]["verdict"] == "bit-identical") if trials else None,
        "culprits_of_the_reproduction": said["culprits"],
        "environment": [f"{each['part']}: {each['a']} -> {each['b']}" for each in said["environment"]["differences"]][
            :EVIDENCE
        ],
    }


def _identical(said: dict[str, Any]) -> bool:
    return bool(said["verdict"] == "bit-identical")


def _named(said: dict[str, Any]) -> str | None:
    """More than one are joined: that is never what was planted."""
    return " and ".join(said["named"]) or None
