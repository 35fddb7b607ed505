"""The forms a parity command can leave its report in: one set of options for all of them.

A command asks for them with one parameter:

    @with_outputs
    def served(repo: Repo = None, *, outputs: ModelOutputs) -> None:
        ...
        show(result, outputs, tracking=tracking)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from trueup.cli.options import Json


@dataclass(frozen=True)
class Outputs:
    """Where the report goes, besides the terminal. Each field is an option."""

    report: Annotated[Path | None, typer.Option("--report", help="Also write the report as one HTML file.")] = None
    as_json: Json = False
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write it as JSON.")] = None
    markdown: Annotated[Path | None, typer.Option(help="Also write a summary for a merge request.")] = None
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML, for a CI server.")] = None
    prometheus: Annotated[
        Path | None, typer.Option(help="Also write metrics, for node exporter's textfile collector.")
    ] = None

    @property
    def files(self) -> Mapping[str, Path]:
        """Form -> where it goes, of those that were asked for."""
        paths = {
            "html": self.report,
            "json": self.json_file,
            "markdown": self.markdown,
            "junit": self.junit,
            "prometheus": self.prometheus,
        }
        return {form: path for form, path in paths.items() if path is not None}


@dataclass(frozen=True)
class ModelOutputs(Outputs):
    """Of a command whose results are of registered models."""

    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Also keep it with each model's run, and tag the model's version.")
    ] = False


def with_outputs(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of its parameter of type `Outputs` (or a kind of it), in its place."""
    hints = get_type_hints(command, include_extras=True)
    name, kind = next(
        (name, hint) for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Outputs)
    )
    given = get_type_hints(kind, include_extras=True)
    options = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=given[each.name])
        for each in fields(kind)
    ]
    others = [
        each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for each in inspect.signature(command).parameters.values()
        if each.name != name
    ]

    @wraps(command)
    def with_options(**values: Any) -> None:
        outputs = kind(**{option.name: values.pop(option.name) for option in options})
        command(**values, **{name: outputs})

    # Typer reads the signature and the annotations; the wrapped command's would show it the parameter itself.
    signature = inspect.Signature([*others, *options], return_annotation=None)
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return with_options
