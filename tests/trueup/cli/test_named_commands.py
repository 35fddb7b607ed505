"""Every command and option that a document, an advice, an error or a help text names is one that there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.main import get_command

from trueup.cli import app
from trueup.parity.causes import CAUSES

ROOT = Path(__file__).parents[3]
SPAN = re.compile(r"`(trueup [^`]+)`")
LINE = re.compile(r"^ *(?:\$ )?((?:TRUEUP_\w+=\S+ )?trueup .*?)(?: &)?$")


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Each command (of Typer's own kind of Click) with its name in full."""
    below = getattr(group, "commands", None)
    if below is None:
        yield " ".join(path), group
    else:
        for name, command in below.items():
            yield from commands(command, *path, name)


def plugins() -> Typer:
    """The commands that other packages bring, as `main` adds them."""
    added = Typer()
    for command in entry_points(group="trueup.commands"):
        command.load()(added)
    return added


COMMANDS = {**dict(commands(get_command(app))), **dict(commands(get_command(plugins())))}
GROUPS = {name.rsplit(" ", 1)[0] for name in COMMANDS if " " in name}


def named() -> Iterator[tuple[str, str]]:
    """Where, and what is to be typed there."""
    for file in sorted(ROOT.glob("**/*.md")):
        place = file.relative_to(ROOT)
        if place.parts[0] in ("build", "mlruns") or any(part.startswith(".") for part in place.parts):
            continue
        text = file.read_text(encoding="utf-8")
        for block in re.findall(r"```sh\n(.*?)```", text.replace("\\\n", " "), re.DOTALL):
            yield from ((str(place), found[1]) for line in block.splitlines() if (found := LINE.match(line)))
        indented = (LINE.match(line) for line in text.splitlines() if line.startswith("    trueup "))
        yield from ((str(place), found[1]) for found in indented if found)
        yield from ((str(place), line) for line in SPAN.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)))
    for cause in CAUSES:
        yield from ((cause.name, line) for line in SPAN.findall(cause.advice))
    for source in sorted((ROOT / "platform").glob("**/*.py")):
        lines = SPAN.findall(source.read_text(encoding="utf-8"))
        yield from ((str(source.relative_to(ROOT)), line) for line in lines if "{" not in line)
    for name, command in COMMANDS.items():
        said = " ".join((command.help or "").split())
        yield from ((f"{name} --help", line) for line in re.findall(r"Example: (trueup .*?)(?= Example: |$)", said))


NAMED = sorted(set(named()))


@pytest.mark.parametrize(("where", "line"), NAMED, ids=[f"{where}: {line}" for where, line in NAMED])
def test_what_is_named_is_there(where: str, line: str) -> None:
    words = [word for word in shlex.split(line) if not word.startswith("TRUEUP_")][1:]
    names = [word for word in words if not word.startswith("-")]
    path = " ".join(names[:2]) if " ".join(names[:2]) in COMMANDS else " ".join(names[:1])
    if path in GROUPS and path not in COMMANDS:
        assert len(names) == 1, f"{where} names {line!r}, and there is no such command"
        return
    assert path in COMMANDS or not path, f"{where} names {line!r}, and there is no such command"
    if path:
        known = {option for each in COMMANDS[path].params for option in [*each.opts, *each.secondary_opts]} | {"--help"}
        assert {word.split("=")[0].rstrip("]") for word in words if word.startswith("--")} <= known, where


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("parity ")])
def test_every_parity_command_has_an_example(name: str) -> None:
    assert f"Example: trueup {name}" in " ".join((COMMANDS[name].help or "").split())
