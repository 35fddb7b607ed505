"""A TOML file of a person's, read and checked: what is wrong is said with its file and its place in it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trueup.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path, *, field: str, what: str) -> dict[str, Any]:
    """The file as values. what: how the message names it. Raises InputError on `field`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            field, f"{what} cannot be read: {error.strerror or error}.", hint="Name a TOML file."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(field, f"{what} is not TOML: it is not UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(field, f"{what} is not TOML: {error}.") from error


def load_model(path: Path, model: type[Model], *, field: str, what: str, hint: str) -> Model:
    """The file as a model. Raises InputError with the first key that is wrong, what came and what was expected."""
    data = read_toml(path, field=field, what=what)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(where, f"{what}: {where} = {first['input']!r}: {first['msg']}.", hint=hint) from error
