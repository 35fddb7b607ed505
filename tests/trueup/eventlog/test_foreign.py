"""Finding the files of a log that trueup did not write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueup.errors import InputError
from trueup.eventlog.column_map import EXAMPLE, ColumnMap, load_column_map
from trueup.eventlog.foreign import find_foreign_log
from trueup.eventlog.parquet import Damaged, read_batches

NOBODY = 65534
README = Path(__file__).parents[3] / "platform" / "trueup" / "eventlog" / "README.md"


@contextmanager
def not_root() -> Iterator[None]:
    """Root may read everything: as somebody else, then."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may look into, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_and_a_folder_that_may_not_be_read_are_damaged_and_the_rest_is_a_log(open_folder: Path) -> None:
    for name in ("open.parquet", "closed.parquet"):
        pq.write_table(pa.table({"a": [1]}), open_folder / name)
    (open_folder / "closed").mkdir()
    for closed in ("closed.parquet", "closed"):
        (open_folder / closed).chmod(0)
    with not_root():
        log = find_foreign_log(open_folder)
        batches = list(read_batches(open_folder / "closed.parquet"))
    assert [file.footer.path.name for file in log.files] == ["open.parquet"]
    problems = {damaged.path.name: damaged.problem for damaged in log.damaged}
    assert problems == {
        "closed.parquet": "cannot be read: permission denied",
        "closed": "cannot be read: permission denied",
    }
    assert batches == [Damaged(open_folder / "closed.parquet", None, "cannot be read: permission denied")]


def test_a_log_none_of_which_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"no file under .* can be read: a\.parquet cannot be read as Parquet"):
        find_foreign_log(tmp_path)


def test_the_example_of_a_map_is_one_and_stands_in_the_readme(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    found = load_column_map(path)
    assert set(found.model_dump(exclude_defaults=True)) == set(ColumnMap.model_fields)
    assert EXAMPLE.strip() in README.read_text(encoding="utf-8")


def test_a_map_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column map .*map\.toml cannot be read: No such file"):
        load_column_map(tmp_path / "map.toml")
