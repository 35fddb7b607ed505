"""The report as what is kept with each model it is about: files of the model's run, tags of its version. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trueup.instants import as_utc, format_instant
from trueup.parity.report import Report
from trueup.parity.sinks.html import render_html
from trueup.parity.sinks.json import render_json


@dataclass(frozen=True)
class ModelRun:
    """folder: of the files, within the run's artifacts. files: path there -> content."""

    model: str
    version: str
    folder: str
    files: Mapping[str, bytes]
    tags: Mapping[str, str]


def model_runs(report: Report) -> Iterator[ModelRun]:
    """One for each version of a model in the report, with what concerns it alone."""
    # No colons: an artifact's path must be one on every file system.
    folder = f"parity/{as_utc(report.finished_at):%Y%m%dT%H%M%S.%fZ}"
    for model, version in dict.fromkeys((result.subject, result.version) for result in report.results):
        if version is None:
            continue
        mine = report.about(model, version)
        yield ModelRun(
            model,
            version,
            folder,
            files={
                f"{folder}/report.html": render_html(mine).encode("utf-8", "backslashreplace"),
                f"{folder}/report.json": render_json(mine).encode("utf-8", "backslashreplace"),
            },
            tags={
                "trueup.parity.verdict": mine.verdict,
                "trueup.parity.mismatched": str(sum(result.mismatched for result in mine.cells)),
                "trueup.parity.unexplained": str(sum(result.unexplained for result in mine.cells)),
                "trueup.parity.at": format_instant(report.finished_at),
            },
        )
