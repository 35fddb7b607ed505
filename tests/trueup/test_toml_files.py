"""What is wrong with a TOML file is said with its name and its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from trueup.errors import InputError
from trueup.toml_files import load_model


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    share: float = 0.0


class Outer(BaseModel):
    inner: Inner = Inner()


def load(path: Path) -> Outer:
    return load_model(path, Outer, field="thing", what=f"thing {path.name}", hint="Look at the example.")


def test_a_good_file_is_the_model(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[inner]\nshare = 0.5\n")
    assert load(path).inner.share == 0.5


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        (None, "thing", "thing a.toml cannot be read: No such file or directory."),
        (b"\xff", "thing", "thing a.toml is not TOML: it is not UTF-8 text."),
        (b"[inner", "thing", "thing a.toml is not TOML: "),
        (
            b"[inner]\nshare = 'half'",
            "inner.share",
            "thing a.toml: inner.share = 'half': Input should be a valid number",
        ),
        (b"[inner]\nshares = 1", "inner.shares", "thing a.toml: inner.shares = 1: Extra inputs are not permitted."),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes | None, field: str, message: str) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        load(path)
    assert str(raised.value).startswith(message)
    assert raised.value.field == field
