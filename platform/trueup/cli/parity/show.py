"""What the parity commands share: options, and the result in every form asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.options import print_json
from trueup.console import output

if TYPE_CHECKING:
    from trueup.parity.report import Report as ParityReport

Since = Annotated[str | None, typer.Option(help="Served at or after this instant, ISO 8601.")]
Until = Annotated[str | None, typer.Option(help="Served before this instant.")]
Report = Annotated[Path | None, typer.Option("--report", help="Also write the report as one HTML file.")]


def show(result: ParityReport, report: Path | None, *, as_json: bool) -> None:
    """The result in every form asked for; exits with its code."""
    from trueup.parity.sinks.html import render_html
    from trueup.parity.sinks.terminal import render_terminal

    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(render_html(result), encoding="utf-8")
    if as_json:
        print_json(result.to_json())
    else:
        output.print(render_terminal(result))
        if report is not None:
            output.print(f"report: {report}")
    raise typer.Exit(result.exit_code)
