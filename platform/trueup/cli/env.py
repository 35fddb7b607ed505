"""`trueup env`: the environment of a process or a model, and what in another one can change numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from trueup.cli.options import CHECK_FAILED, Json, TrackingUri, print_json, print_table
from trueup.console import output
from trueup.errors import InputError, ModelError
from trueup.wording import counted

if TYPE_CHECKING:
    from trueup.models.environment import Environment
    from trueup.models.environment_diff import EnvironmentDiff

env = typer.Typer(help="What can change a number without a change of code or data.", no_args_is_help=True)

HERE = (".", "here")
"""How this process is named where an environment is asked for."""
_DIGITS = 12
_SIDE = f"An environment: {' or '.join(HERE)} (this process), a JSON file, or a model, NAME@ALIAS or NAME/VERSION."


@env.command("show")
def env_show(as_json: Json = False) -> None:
    """The environment of this process: Python, system, processor, packages, threads, locale, time zone, image.

    With --json, in the form that `trueup env diff` reads.

    Example: trueup env show --json
    """
    from trueup.models.environment import take_environment

    taken = take_environment()
    if as_json:
        print_json(taken.to_json())
    else:
        print_table([{"part": part, "value": escape(value)} for part, value in _parts(taken)])


@env.command("diff")
def env_diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """What differs from A to B, first what can change numbers. Exits 1 if anything did.

    A model's environment is the one it was trained in. What a side does not know is listed as unknown; it is no
    difference.

    Example: trueup env diff flights@champion here
    """
    from trueup.models.environment_diff import diff

    found = diff(_environment(a, tracking_uri), _environment(b, tracking_uri))
    if as_json:
        print_json(found.to_json())
    else:
        output.print(f"A: {a}\nB: {b}", markup=False, soft_wrap=True)
        _show(found)
    if found:
        raise typer.Exit(CHECK_FAILED)


def _show(found: EnvironmentDiff) -> None:
    from trueup.models.environment_diff import unknown_text

    if found:
        print_table(
            [
                {"part": escape(each.part), "A": escape(each.a or "-"), "B": escape(each.b or "-"), "tier": each.tier}
                for each in found.differences
            ]
        )
        output.print(
            f"{counted(len(found.differences), 'difference')}, {len(found.arithmetic.differences)} in arithmetic."
        )
    else:
        output.print("No difference.")
    if found.unknown:
        output.print(f"{unknown_text(found)}.", markup=False)


def _environment(side: str, tracking_uri: str | None) -> Environment:
    """Raises InputError for a file that is none or holds none, ModelError for a model whose environment is unknown."""
    if side in HERE:
        from trueup.models.environment import take_environment

        return take_environment()
    path = Path(side)
    if path.is_file() or path.suffix == ".json":
        return _read(path)
    if "@" not in side and not side.rpartition("/")[2].isdecimal():
        raise InputError(
            "environment",
            f"{side!r} is no file and names no version of a model; expected {' or '.join(HERE)}, a JSON file, "
            "NAME@ALIAS or NAME/VERSION.",
        )
    from trueup.models.tracking import Tracking
    from trueup.settings import Settings

    return Tracking(tracking_uri or Settings().tracking_uri).load_environment(side)


def _read(path: Path) -> Environment:
    from trueup.models.environment import read_environment

    try:
        return read_environment(path.read_bytes())
    except OSError as error:
        raise InputError("environment", f"{path} cannot be read: {error.strerror}.") from error
    except ModelError as error:
        raise InputError(
            "environment", f"{path}: {error.message}", hint=error.hint or "Write one with `trueup env show --json`."
        ) from error


def _parts(taken: Environment) -> Iterator[tuple[str, str]]:
    """What stands in the table, hashes shortened."""
    yield "hash", taken.hash[:_DIGITS]
    yield "Python", taken.python
    yield "operating system", taken.os
    yield "C library", taken.libc or "unknown"
    yield "machine", f"{taken.machine}, {counted(taken.cpus, 'CPU')}"
    yield "CPU features", " ".join(taken.cpu_features or ("unknown",))
    for item in taken.packages:
        yield f"package {item.name}", f"{item.version} (contents {(item.hash or 'unknown')[:_DIGITS]})"
    for pool in taken.thread_pools:
        words = (pool.version, pool.architecture, counted(pool.threads, "thread"))
        yield f"{pool.api} {pool.library}", " ".join(filter(None, words))
    yield from taken.variables
    yield from taken.text_variables or ()
    yield "locale", taken.locale.replace(";", " ")
    yield "encoding", taken.encoding
    yield "time zone", taken.time_zone
    yield "hash seed", taken.hash_seed
    yield "image", taken.image or "none named"
