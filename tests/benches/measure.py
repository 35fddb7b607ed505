"""What benches share: interleaved medians, runs in a process of their own, and the machine they ran on."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class ProcessError(RuntimeError):
    """A bench's own process failed. out_of_memory: it was killed, or ran into a MemoryError."""

    def __init__(self, command: str, code: int, said: str) -> None:
        super().__init__(f"{command} ended with {code}:\n{said[-4000:]}")
        self.out_of_memory = code in (-9, 137) or "MemoryError" in said


@dataclass(frozen=True)
class Timings:
    """Seconds of each way, one a round. wall: as the clock on the wall has them. processor: of all threads; on a busy
    machine the steadier of the two."""

    wall: dict[str, list[float]]
    processor: dict[str, list[float]]

    def ratio(self, name: str, base: str) -> float:
        """Median over the rounds of the ratio within a round: both had the same load there."""
        return _ratio(self.wall[name], self.wall[base])

    def processor_ratio(self, name: str, base: str) -> float:
        return _ratio(self.processor[name], self.processor[base])

    def medians(self) -> dict[str, dict[str, float]]:
        """For the context."""
        return {
            name: {
                "seconds": round(statistics.median(self.wall[name]), 4),
                "processor_seconds": round(statistics.median(self.processor[name]), 4),
            }
            for name in self.wall
        }


def interleaved(ways: Mapping[str, Callable[[], Any]], rounds: int) -> Timings:
    """Each way once a round, so that a slower minute of the machine meets all of them."""
    timings = Timings({name: [] for name in ways}, {name: [] for name in ways})
    for _ in range(rounds):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            timings.wall[name].append(time.perf_counter() - wall)
            timings.processor[name].append(time.process_time() - processor)
    return timings


def _ratio(ones: list[float], others: list[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(ones, others, strict=True)), 3)


def in_process(module: str, *arguments: str) -> Any:
    """What a bench module's own command prints, as JSON. A process of its own: nothing before it counts."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessError(" ".join(command), done.returncode, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def peak_mib() -> float:
    """Of this process so far, resident."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def machine(*packages: str) -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "processor": platform.machine(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
