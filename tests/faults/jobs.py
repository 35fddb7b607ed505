"""The parts of the bench, each a job that may run in a process of its own: it makes its own world and its own Redis."""

from __future__ import annotations

import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import prometheus_client  # noqa: F401 - before Feast, which else turns its metrics into shared files
import redis
from tests.faults import bench, clean, definitions, drift_power, flights, generated
from tests.faults.measure import Measured
from tests.faults.site import contract_file, write_rows

from trueup.stores.local_redis import LocalRedis

NAMES = (*bench.NAMES, *definitions.NAMES)
INSTANTS = (1.2, 2.0, 3.0)
"""Hours at which a generated world's online store is checked."""
QUICK = generated.Sizes(users=600, items=200, regions=40, rows=1200)
FLIGHTS = 3000
"""Flights that are asked about."""


@dataclass(frozen=True)
class Options:
    """began: of the whole bench, by the monotonic clock. only: faults; None: all. cells: clean ones to compare."""

    root: Path
    feature_repo: Path
    seed: int
    quick: bool
    only: tuple[str, ...] | None
    began: float
    cells: int = 0

    @property
    def rates(self) -> tuple[float, ...]:
        return (0.01,) if self.quick else bench.RATES

    def wanted(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self.only is None or name in self.only]


@dataclass
class Done:
    """What a job found."""

    measured: list[Measured] = field(default_factory=list)
    clean: clean.Clean = field(default_factory=clean.Clean)
    distribution: dict[str, Any] = field(default_factory=dict)


def generated_faults(options: Options) -> Done:
    """Every fault in the generated world, which is compared clean first."""
    done, say = Done(), _progress(options, "generated")
    with _redis(options.root / "generated") as (client, url):
        say("build")
        sizes = QUICK if options.quick else generated.Sizes()
        played = generated.build(options.root / "generated" / "world", client, url, sizes, options.seed)
        if options.only is None:
            _check_clean(done, played, say)
        world = generated.harmed(played)
        done.measured += bench.run(world, options.rates, options.seed, say, options.wanted(bench.NAMES))
        done.measured += definitions.run(world, options.rates, options.seed, say, options.wanted(definitions.NAMES))
    return done


def flights_faults(options: Options) -> Done:
    """The faults that the flights' features can have."""
    done, say = Done(), _progress(options, "flights")
    with _redis(options.root / "flights") as (client, url):
        say("build")
        folder = options.root / "flights" / "world"
        world = flights.build(folder, options.feature_repo, client, url, FLIGHTS, options.seed)
        if options.only is None:
            clean.check(done.clean, "flights", world.site, [bench.instant(world.time.serving[1])], say)
        done.measured += bench.run(world, options.rates, options.seed, say, options.wanted(flights.NAMES))
    return done


def clean_worlds(options: Options) -> Done:
    """Generated worlds of other seeds, until enough cells are compared."""
    done, say = Done(), _progress(options, "clean")
    seed = options.seed
    with _redis(options.root / "clean") as (client, url):
        while done.clean.compared < options.cells:
            seed += 1
            say(f"build world {seed}; {done.clean.compared:,} cells so far")
            folder = options.root / "clean" / str(seed)
            played = generated.build(folder, client, url, generated.CLEAN, seed)
            _check_clean(done, played, say)
            shutil.rmtree(folder)
    return done


def drift(options: Options) -> Done:
    """The drift check's false alarms and power."""
    _progress(options, "drift")("false alarms and power")
    return Done(distribution=drift_power.measure(options.seed, 10 if options.quick else 100))


def _check_clean(done: Done, played: generated.Generated, say: bench.Say) -> None:
    """As served and as it stands online; then the last phase once more under rules that make no difference to it."""
    site = played.site
    clean.check(done.clean, "generated", site, [generated.at(hours) for hours in INSTANTS], say)
    repo = site.copy("quiet")
    log = write_rows(site.root / "last_phase", contract_file(site.log), played.base)
    for view, table in played.quiet.items():
        generated.write_source(repo, view, table)
    for rule in ("label", "unbounded"):
        clean.check_rule(done.clean, "generated", site, repo, log, rule, say)


@contextmanager
def _redis(folder: Path) -> Iterator[tuple[redis.Redis, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Feast's
        with LocalRedis(folder / "redis") as server, redis.Redis.from_url(server.url) as client:
            yield client, server.url


def _progress(options: Options, job: str) -> bench.Say:
    def say(what: str) -> None:
        sys.stderr.write(f"{time.monotonic() - options.began:6.0f} s  {job}: {what}\n")
        sys.stderr.flush()

    return say
