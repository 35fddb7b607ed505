"""Files that commands leave behind: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from trueup.errors import InputError


def write_whole(path: Path, content: str, *, field: str, what: str) -> None:
    """The whole file or none: who reads it (a collector, a CI server) never sees half of one. Raises InputError."""
    # Text of a file name that was no UTF-8 has surrogates: written out, as in `\\udc80`, which JSON reads back.
    data = content.encode("utf-8", "backslashreplace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            # A temporary file is its owner's alone; a collector runs as another user.
            os.chmod(name, 0o644)  # noqa: PTH101
            os.replace(name, path)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except FileExistsError as error:
        raise InputError(field, f"{what} cannot be written to {path}: {error.filename} is a file.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(
            field, f"{what} cannot be written to {path}: {reason}.", hint="The verdict stands; name another path."
        ) from error
