"""What the parity commands share: options, and the result in every form asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from trueup.cli.files import write_whole
from trueup.cli.options import COULD_NOT_RUN, print_json
from trueup.cli.parity.outputs import ModelOutputs, Outputs, with_outputs
from trueup.console import errors, output
from trueup.errors import InputError, TrueupError

if TYPE_CHECKING:
    from trueup.models.tracking import Tracking
    from trueup.parity.report import Report as ParityReport

__all__ = ["ModelOutputs", "Outputs", "Report", "Since", "Until", "show", "with_outputs", "write"]

Since = Annotated[str | None, typer.Option(help="Served at or after this instant, ISO 8601.")]
Until = Annotated[str | None, typer.Option(help="Served before this instant.")]
Report = Annotated[Path | None, typer.Option("--report", help="Also write the report as one HTML file.")]


def show(
    result: ParityReport,
    outputs: Outputs | Path | None,
    *,
    as_json: bool = False,
    tracking: Tracking | None = None,
) -> None:
    """The result in every form asked for; exits with its code, or with 2 when a form could not be written.

    outputs: the command's; a path alone stands for `--report`. tracking: where `--mlflow` keeps it. The verdict is
    printed first, and each form is tried, whatever becomes of the others.
    """
    from trueup.parity.sinks.terminal import render_terminal

    if not isinstance(outputs, Outputs):
        outputs = Outputs(report=outputs, as_json=as_json)
    if outputs.as_json:
        print_json(result.to_json())
    else:
        output.print(render_terminal(result))
    failed = False
    for task, written in _tasks(result, outputs, tracking):
        try:
            task()
        except TrueupError as error:
            failed = True
            errors.print(f"[red]trueup:[/red] {escape(str(error))}", markup=True, soft_wrap=True)
        else:
            if not outputs.as_json:
                output.print(escape(written), soft_wrap=True)
    raise typer.Exit(COULD_NOT_RUN if failed else result.exit_code)


def write(result: ParityReport, outputs: Outputs) -> None:
    """The files alone. Raises InputError at the first that cannot be written."""
    for task, _ in _tasks(result, outputs, None):
        task()


def _tasks(
    result: ParityReport, outputs: Outputs, tracking: Tracking | None
) -> Iterator[tuple[Callable[[], None], str]]:
    """What is to be done, and what to say when it is."""
    renderers = _renderers()
    for form, path in outputs.files.items():
        yield partial(_write, form, path, renderers[form], result), f"{'report' if form == 'html' else form}: {path}"
    if isinstance(outputs, ModelOutputs) and outputs.mlflow:
        from trueup.parity.sinks.model_run import model_runs

        assert tracking is not None, "a command with --mlflow gives `show` where to keep it"
        runs = list(model_runs(result))
        for run in runs:
            task = partial(tracking.log_parity, run.model, run.version, files=run.files, tags=run.tags)
            yield task, f"mlflow: {run.model}@{run.version}, {run.folder}"
        if not runs:
            yield _no_model, ""


def _no_model() -> None:
    raise InputError("mlflow", "--mlflow: the report is about no registered model, so nothing was kept.")


def _renderers() -> Mapping[str, Callable[[ParityReport], str]]:
    from trueup.parity.sinks.html import render_html
    from trueup.parity.sinks.json import render_json
    from trueup.parity.sinks.junit import render_junit
    from trueup.parity.sinks.markdown import render_markdown
    from trueup.parity.sinks.prometheus import render_prometheus
    from trueup.settings import Settings

    return {
        "html": render_html,
        "json": render_json,
        "markdown": partial(render_markdown, docs=Settings().docs_url),
        "junit": render_junit,
        "prometheus": render_prometheus,
    }


def _write(form: str, path: Path, render: Callable[[ParityReport], str], result: ParityReport) -> None:
    write_whole(path, render(result), field=form, what="the report")
