"""Snapshots on disk: `<root>/<name>/<id>/` with a manifest and Parquet parts. The only I/O on snapshots.

A snapshot is written beside its place under a hidden name and moved there last, in one step: a reader, a crash or a
`kill -9` sees all of it or nothing. Nothing in the folder is written twice, so a tool that tracks folders (DVC) can
take it as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath

import pyarrow as pa

from trueup.datasets.manifest import MANIFEST_FILE, Manifest, Part
from trueup.datasets.parquet_bytes import read_part, write_part
from trueup.errors import DatasetError
from trueup.hashing import digest_bytes

_ID = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{4,64}")


def write_snapshot(
    root: Path, tables: Mapping[str, pa.Table], describe: Callable[[tuple[Part, ...]], Manifest]
) -> Path:
    """Writes a snapshot and returns its folder. tables: name of each part -> its rows. describe: parts -> manifest.

    A snapshot that is there already is left alone if it is whole, and replaced if not. Raises DatasetError when the
    folder cannot be written, or a column has a type that cannot be kept.
    """
    try:
        with _aside(root) as folder:
            parts = tuple(_write_part(folder / name, table) for name, table in tables.items())
            manifest = describe(parts)
            _write(folder / MANIFEST_FILE, manifest.to_bytes())
            place = root / manifest.spec.name / manifest.id
            if place.exists() and not problems(place):
                return place
            _move(folder, place, aside=folder.with_name(f"{folder.name}.damaged"))
            return place
    except OSError as error:
        raise _not_written(root, error) from error


def bring_snapshot(root: Path, name: str, id_: str, files: Iterable[tuple[str, bytes]]) -> Path:
    """Keeps a snapshot whose files come from elsewhere, each byte checked before it is in its place; gives its folder.

    files: name -> bytes of each. Raises DatasetError that says what is wrong when they are not the snapshot `id_`; what
    was in its place before, a damaged one, then stays.
    """
    place = root / name / id_
    with _aside(root) as aside:
        folder = aside / id_  # its name, so that the manifest is held to it
        try:
            folder.mkdir()
            for file, content in files:
                _write(folder / file, content)
        except OSError as error:
            raise _not_written(root, error) from error
        if found := problems(folder):
            raise DatasetError(f"snapshot {name}@{id_[:12]} is not what its manifest says: {' '.join(found)}")
        try:
            _move(folder, place, aside=aside.with_name(f"{aside.name}.damaged"))
        except OSError as error:
            raise _not_written(root, error) from error
    return place


def whole_snapshots(root: Path, ref: str) -> tuple[Path, ...]:
    """Those of `root` that `ref` (an id, its first digits or NAME@DIGITS) means, and of which every byte is right."""
    return tuple(folder for folder in _folders(root) if is_meant(ref, folder) and not problems(folder))


def check_ref(ref: str) -> None:
    """Raises DatasetError for what `is_meant` would find in no folder."""
    if not _PREFIX.fullmatch(ref.rpartition("@")[2]):
        raise DatasetError(
            f"{ref!r} is no snapshot's id: expected 4 to 64 digits of it (0-9, a-f), or NAME@DIGITS.",
            hint="`trueup dataset build`, a model's card and training/results/ say ids.",
        )


def is_meant(ref: str, folder: PurePath) -> bool:
    """Whether an id, its first digits (4 at least) or NAME@DIGITS means the snapshot in `.../NAME/ID`."""
    name, _, digits = ref.rpartition("@")
    by_id = _PREFIX.fullmatch(digits) is not None and folder.name.startswith(digits)
    return by_id and _ID.fullmatch(folder.name) is not None and name in ("", folder.parent.name)


def find_snapshot(ref: str, root: Path) -> Path:
    """The folder of a snapshot. ref: a folder (or its manifest); or, of those in `root`, an id, its first digits (4 at
    least), NAME@DIGITS, or the name of which there is one.

    Raises DatasetError when there is none, or more than one.
    """
    path = Path(ref)
    if path.name == MANIFEST_FILE and path.is_file():
        path = path.parent
    if path.is_dir() and ((path / MANIFEST_FILE).exists() or _ID.fullmatch(path.resolve().name)):
        return path
    found = [folder for folder in _folders(root) if _is_called(folder, ref)]
    if len(found) == 1:
        return found[0]
    if found:
        why = f"names {len(found)} snapshots"
    else:
        why = (
            f"has no {MANIFEST_FILE}, so it is no snapshot"
            if path.is_dir()
            else "is neither a folder nor a snapshot's id"
        )
    there = [f"{folder.parent.name}@{folder.name[:12]}" for folder in _folders(root)]
    raise DatasetError(
        f"snapshot {ref!r} {why}; {root} has {', '.join(there) or 'none'}.",
        hint="Name its folder, or at least 4 digits of its id and where to look (--datasets). One that DVC tracks "
        "comes back with: trueup dataset restore ID.",
    )


def _is_called(folder: Path, ref: str) -> bool:
    return is_meant(ref, folder) or folder.parent.name == ref


def read_manifest(folder: Path) -> Manifest:
    """Raises DatasetError that names the folder when there is no manifest, or it is not what its id was given for."""
    name = folder.resolve().name
    if name.startswith("."):
        raise DatasetError(f"{folder} is a build that did not finish.", hint="Delete it, and build the snapshot again.")
    try:
        manifest = Manifest.from_bytes((folder / MANIFEST_FILE).read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{folder}: {MANIFEST_FILE} cannot be read: {(error.strerror or str(error)).lower()}."
        ) from error
    except DatasetError as error:
        raise DatasetError(f"{folder}: {error.message}", hint=error.hint) from error
    if _ID.fullmatch(name) and name != manifest.id:
        raise DatasetError(f"{folder}: {MANIFEST_FILE} is of snapshot {manifest.id[:12]}, not of the one it lies in.")
    return manifest


def read_table(folder: Path, part: Part) -> pa.Table:
    """The rows of a part. Raises DatasetError unless its bytes are those of the manifest."""
    content = _content(folder, part)
    if isinstance(content, str):
        raise DatasetError(
            f"{folder}: {content}",
            hint="See what else is wrong: trueup dataset verify. One that DVC tracks comes back whole with: trueup "
            "dataset restore ID.",
        )
    table = read_part(content)
    assert table.num_rows == part.rows or table.num_columns == 0
    return table


def problems(folder: Path) -> tuple[str, ...]:
    """What is wrong with a snapshot, a sentence each; nothing when each byte is what its manifest and id say."""
    try:
        manifest = read_manifest(folder)
    except DatasetError as error:
        return (error.message,)
    found = [content for part in manifest.parts if isinstance(content := _content(folder, part), str)]
    return (*found, *strangers(folder, manifest))


def strangers(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Of `problems` those that can be told without reading a part: what lies in the folder and is none of its own."""
    known = {MANIFEST_FILE, *(part.name for part in manifest.parts)}
    names = sorted(item.name for item in folder.iterdir() if item.name not in known and item.name[0] != ".")
    return tuple(f"{name} is not in the manifest." for name in names)


def _content(folder: Path, part: Part) -> bytes | str:
    """The bytes of a part, or why they are not those of the manifest."""
    try:
        content = (folder / part.name).read_bytes()
    except FileNotFoundError:
        return f"{part.name} is missing."
    except OSError as error:
        return f"{part.name} cannot be read: {(error.strerror or str(error)).lower()}."
    if len(content) != part.bytes:
        return f"{part.name} has {len(content):,} bytes; the manifest says {part.bytes:,}."
    if (found := digest_bytes(content)) != part.sha256:
        return f"{part.name} hashes to {found[:12]}; the manifest says {part.sha256[:12]}: its bytes were changed."
    return content


def _write_part(path: Path, table: pa.Table) -> Part:
    write_part(table, path)
    with path.open("rb") as written:
        os.fsync(written.fileno())
    content = path.read_bytes()
    return Part(path.name, table.num_rows, len(content), digest_bytes(content))


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _move(folder: Path, place: Path, *, aside: Path) -> None:
    """A whole snapshot into its place, in one step; a damaged one that is there goes aside first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        # Out of the way in one step too: half of a damaged snapshot is not left where the new one goes.
        place.rename(aside)
    _sync(folder)
    folder.rename(place)
    _sync(place.parent)


def _not_written(root: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"snapshot folder {root} cannot be written: {error.strerror or error}.",
        hint="Name another one with --out, or --datasets of trueup train.",
    )


def _sync(folder: Path) -> None:
    """So that names survive a crash of the machine too."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """A hidden folder on the same file system; whatever is left of it goes."""
    folder = root / f".building-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        for left in (folder, folder.with_name(f"{folder.name}.damaged")):
            shutil.rmtree(left, ignore_errors=True)


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.glob("*/*") if _ID.fullmatch(folder.name) and folder.is_dir())
