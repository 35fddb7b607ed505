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
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class ProcessError(RuntimeError):
    """A bench's own process failed. out_of_memory: it was killed, or ran into a MemoryError."""

    def __init__(self, command: str, code: int, said: str) -> None:
        super().__init__(f"{command} ended with {code}:\n{said[-4000:]}")
        self.out_of_memory = code in (-9, 137) or "MemoryError" in said


def interleaved(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, round by round, so that a slower minute of the machine meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, base: str) -> float:
    """Median over the rounds of the ratio within a round: both had the same load there."""
    return statistics.median(one / other for one, other in zip(seconds[name], seconds[base], strict=True))


def rounded(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Medians, for the context."""
    return {name: round(statistics.median(values), 4) for name, values in seconds.items()}


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
