"""A parity run of several checks as one job, which goes on where it was stopped.

A job is a list of parts (one check of one subject). With a checkpoint folder, each finished part is a file there, and a
job started again on the same inputs takes it from the file. What a job was started with is written first: a folder of
another job is refused, never mixed in.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from trueup.errors import InputError, StoreError, TrueupError
from trueup.hashing import digest
from trueup.instants import Clock, format_instant, parse_instant
from trueup.parity.report import Report
from trueup.parity.results import Check, could_not_run
from trueup.parity.sinks.json import parse_json, render_json

JOB_FILE = "job.json"
FORMAT = 1
NOTHING = "there was nothing to compare."


class Told(Protocol):
    """Told what is done now, and how many of the job's parts are finished."""

    def __call__(self, now: str, done: int, total: int, /) -> None: ...


@dataclass(frozen=True)
class Part:
    """One check of one subject. run: makes its part of the report."""

    check: Check
    subject: str
    run: Callable[[], Report]

    @property
    def name(self) -> str:
        return f"{self.check} {self.subject}"

    @property
    def file(self) -> str:
        return f"{digest(self.name)[:16]}.json"


class Checkpoint:
    """The folder of a job's finished parts.

    inputs: what the job reads and how, as JSON (paths, window, rule, sample, sizes of the files): two jobs with equal
    inputs are the same job. started_at: of a new job; one that goes on keeps its own, so that `now` stays `now`.
    Raises InputError when the folder holds another job, StoreError when it cannot be used.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, Any], *, started_at: datetime) -> None:
        self.folder = folder
        path = folder / JOB_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self.started_at = _known(path, inputs)
                return
            if next(folder.iterdir(), None) is not None:
                raise InputError("resume", f"{folder} is not empty and holds no parity job.", hint="Name a new folder.")
            self.started_at = started_at
            job = {"format": FORMAT, "started_at": format_instant(started_at), "inputs": inputs}
            _write(path, json.dumps(job, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            raise _unusable(folder, error) from error

    def load(self, part: Part) -> Report | None:
        """The part's report, if an earlier run finished it."""
        path = self.folder / part.file
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.folder, error) from error
        try:
            return parse_json(text)
        except InputError as error:
            raise InputError(
                "resume", f"{path} is no finished part: {error}", hint="Delete it to run it again."
            ) from error

    def save(self, part: Part, report: Report) -> None:
        try:
            _write(self.folder / part.file, render_json(report))
        except OSError as error:
            raise _unusable(self.folder, error) from error


def run_job(
    parts: Sequence[Part], *, clock: Clock, checkpoint: Checkpoint | None = None, told: Told | None = None
) -> Report:
    """All parts' results as one report, in the order of the parts. A part that cannot run is not saved as finished.

    A TrueupError of one part does not stop the others: its result says why it could not run.
    """
    tell = told or (lambda _now, _done, _total: None)
    report: Report | None = None
    reused = 0
    for done, part in enumerate(parts):
        tell(part.name, done, len(parts))
        found = checkpoint.load(part) if checkpoint is not None else None
        if found is None:
            found = _run(part, clock)
            if checkpoint is not None and all(result.problem is None for result in found.results):
                checkpoint.save(part, found)
        else:
            reused += 1
        report = found if report is None else report | found
    tell("done", len(parts), len(parts))
    if report is None:
        now = clock()
        return Report(now, now, ())
    if checkpoint is None:
        return report
    facts = {**report.facts, "resumed": f"{reused} of {len(parts)} parts were finished by an earlier run"}
    return replace(report, facts=facts)


def _run(part: Part, clock: Clock) -> Report:
    started = clock()
    try:
        found = part.run()
    except TrueupError as error:
        return Report(started, clock(), (could_not_run(part.check, part.subject, str(error)),))
    return found if found.results else replace(found, results=(could_not_run(part.check, part.subject, NOTHING),))


def files_state(paths: Sequence[Path]) -> str:
    """A digest of which files there are, how large, and when they were changed: a log that grew is another input."""
    state = []
    for path in paths:
        files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        for file in files:
            try:
                found = file.stat()
            except OSError:
                continue  # gone between the listing and the look: then it is not an input
            state.append([str(file), found.st_size, found.st_mtime_ns])
    return digest(state)


def _known(path: Path, inputs: Mapping[str, Any]) -> datetime:
    """When the job in the folder began; InputError when it is another job."""
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
        known, started_at = job["inputs"], parse_instant(job["started_at"])
    except (ValueError, KeyError, TypeError, TrueupError) as error:
        raise InputError("resume", f"{path} is no parity job: {error}.", hint="Name a new folder.") from error
    if job.get("format") != FORMAT:
        raise InputError("resume", f"{path} is of format {job.get('format')!r}; this version reads {FORMAT}.")
    asked = json.loads(json.dumps(inputs))
    changed = [name for name in sorted({*known, *asked}) if known.get(name) != asked.get(name)]
    if changed:
        detail = "; ".join(f"{name} was {known.get(name)!r}, is {asked.get(name)!r}" for name in changed[:3])
        raise InputError(
            "resume",
            f"{path.parent} holds another job: {detail}.",
            hint="Start it with the same options to go on, or name a new folder.",
        )
    return started_at


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a job may be killed at any instant."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _unusable(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the checkpoint folder {folder} cannot be used: {error.strerror or error}.", hint="Name another with --resume."
    )
