"""`trueup parity tables`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from trueup.cli.options import Json, print_json, print_table
from trueup.console import output, step
from trueup.errors import InputError

if TYPE_CHECKING:
    from trueup.parity.compare import Tolerance
    from trueup.parity.tables.result import TableComparison

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)


def tables(
    left: Annotated[str, typer.Argument(help="A Parquet file, a directory or a quoted glob.")],
    right: Annotated[str, typer.Argument(help="The same of the other side.")],
    keys: Annotated[list[str], typer.Option("--key", help="A key column; several make a composite key.")],
    features: Annotated[list[str] | None, typer.Option("--feature", help="A column; all by default.")] = None,
    tolerances: Annotated[
        list[str] | None,
        typer.Option("--tolerance", help="FEATURE:abs=1e-9,rel=1e-6,ulps=4 (any of them); exact by default."),
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="FEATURE=Json or FEATURE=Set(Int64): its Feast type.")
    ] = None,
    memory: Annotated[str, typer.Option(help="Bytes for data, such as 512MiB.")] = "2GiB",
    threads: Annotated[int | None, typer.Option(min=1, help="Features at a time; default: processors.")] = None,
    as_json: Json = False,
) -> None:
    """Two Parquet tables, row by row of the same key and cell by cell, every difference classified and counted.

    Exits 0 when they are the same, 1 when they differ (or a row has no partner), 2 when nothing was compared.

    Example: trueup parity tables training.parquet 'served/*.parquet' --key user_id --tolerance score:ulps=4
    """
    from trueup.parity.tables.run import compare_tables

    with step("parity tables") as advance:
        result = compare_tables(
            left,
            right,
            keys=keys,
            features=features,
            tolerances=dict(_tolerance(text) for text in tolerances or ()),
            dtypes=dict(_type(text) for text in types or ()),
            memory_limit=parse_size(memory),
            threads=threads or os.cpu_count() or 1,
            progress=lambda doing: advance(1, doing),
        )
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)
    raise typer.Exit(result.exit_code)


def parse_size(text: str) -> int:
    """Bytes of `512MiB`, `2GB`, `1.5g` or a plain number; K, M, G and T are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError("memory", f"memory: {text!r} is no size; expected a number of bytes such as 2GiB or 512MiB.")
    return int(float(match["number"]) * 1024 ** " KMGT".index(match["unit"].upper() or " "))


def _tolerance(text: str) -> tuple[str, Tolerance]:
    from trueup.parity.compare import Tolerance

    name, _, parts = text.rpartition(":")
    given: dict[str, float] = {}
    for part in parts.split(","):
        kind, _, number = part.partition("=")
        try:
            given[{"abs": "absolute", "rel": "relative", "ulps": "ulps"}[kind.strip()]] = (
                int(number) if kind.strip() == "ulps" else float(number)
            )
        except (KeyError, ValueError) as error:
            raise InputError(
                "tolerance",
                f"tolerance: {text!r} is none; expected FEATURE:abs=NUMBER, rel=NUMBER or ulps=INTEGER, comma between.",
            ) from error
    return name, Tolerance(given.get("absolute", 0.0), given.get("relative", 0.0), int(given.get("ulps", 0)))


def _type(text: str) -> tuple[str, str]:
    name, _, dtype = text.partition("=")
    if dtype != "Json" and re.fullmatch(r"(?:Set|Array)\(.+\)", dtype) is None:
        raise InputError("type", f"type: {text!r} is none; expected FEATURE=Json, FEATURE=Set(T) or FEATURE=Array(T).")
    return name, dtype


def _print(result: TableComparison) -> None:
    """A line a feature, then the rows that were not compared, then a cell of each class (`--json` has more)."""
    style = {"pass": "green", "fail": "red", "could not run": "yellow"}[result.verdict]
    said = (
        "Nothing was compared."
        if not result.compared
        else (
            f"{result.mismatched:,} of {result.compared:,} cells differ; {result.rows:,} rows paired ({result.plan})."
        )
    )
    output.print(f"[bold {style}]{result.verdict.upper()}[/]  {said}")
    features = result.features.items()
    if features:
        print_table(
            [
                {
                    "feature": escape(name),
                    "type": escape(
                        one.left_type if one.left_type == one.right_type else f"{one.left_type} / {one.right_type}"
                    ),
                    "compared": f"{one.compared:,}",
                    "differ": one.uncompared or f"{one.mismatched:,}",
                    "of class": ", ".join(f"{kind} {count:,}" for kind, count in one.by_class.items()) or "-",
                    "tolerated": f"{one.within_tolerance:,}",
                }
                for name, one in features
            ]
        )
    for name, side in (("left", result.left), ("right", result.right)):
        for reason, count in side.alone.items():
            some = "; ".join(", ".join(key) for key in side.examples[reason])
            output.print(f"{name}: {count:,} of {side.rows:,} rows {reason}, such as {escape(some)}")
        if side.only_features:
            output.print(f"{name}: columns only here: {escape(', '.join(side.only_features))}")
    samples = [
        {
            "feature": escape(name),
            "key": escape(", ".join(sample.key)),
            "class": sample.kind,
            "left": escape(sample.left),
            "right": escape(sample.right),
        }
        for name, one in features
        for sample in {sample.kind: sample for sample in reversed(one.samples)}.values()
    ]
    if samples:
        output.print()
        print_table(samples)
