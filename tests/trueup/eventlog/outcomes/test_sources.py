"""Files of outcomes: one, a folder, a pattern; each format says the same, and what cannot be read is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.errors import InputError, SourceError
from trueup.eventlog.outcomes.formats import Format, parsed
from trueup.eventlog.outcomes.sources import read_source

ROWS = [{"request_id": "0012", "late": True, "score": 0.5}, {"request_id": "13", "late": False, "score": None}]


def _csv(rows: list[dict[str, Any]], path: Path) -> None:
    pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path)


WRITE: dict[str, Callable[[list[dict[str, Any]], Path], object]] = {
    "l.parquet": lambda rows, path: pq.write_table(pa.Table.from_pylist(rows), path),
    "l.csv": _csv,
    "l.json": lambda rows, path: path.write_text(json.dumps(rows)),
    "l.ndjson": lambda rows, path: path.write_text("\n".join(map(json.dumps, rows))),
    "l.jsonl": lambda rows, path: path.write_text("\n".join(map(json.dumps, rows))),
    "L.PARQUET": lambda rows, path: pq.write_table(pa.Table.from_pylist(rows), path),
}


@pytest.mark.parametrize("name", WRITE)
def test_each_format_says_the_same(tmp_path: Path, name: str) -> None:
    WRITE[name](ROWS, tmp_path / name)
    assert read_source(str(tmp_path / name), texts=["request_id"]).to_pylist() == ROWS


def test_a_folder_is_all_its_parquet_files_but_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.parquet", "date=2013-11-01/b.parquet", "_temporary/c.parquet", ".d.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"name": [name]}), tmp_path / name)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "notes.txt").write_text("x")
    found = read_source(str(tmp_path))
    assert found.to_pylist() == [{"name": "a.parquet"}, {"name": "date=2013-11-01/b.parquet"}]


def test_a_pattern_is_all_that_it_fits_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).write_text(f"request_id,late\n{name},1\n")
    assert [row["request_id"] for row in read_source(f"{tmp_path}/*.csv").to_pylist()] == ["a.csv", "b.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "l[1].csv").write_text("request_id,late\na,1\n")
    assert read_source(str(tmp_path / "l[1].csv")).num_rows == 1


def test_files_with_other_columns_are_put_together_where_types_agree(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("request_id,late\na,1\n")
    (tmp_path / "b.csv").write_text("request_id,late,row\nb,0.5,2\n")
    assert read_source(f"{tmp_path}/*.csv").to_pylist() == [
        {"request_id": "a", "late": 1.0, "row": None},
        {"request_id": "b", "late": 0.5, "row": 2},
    ]
    (tmp_path / "c.csv").write_text("request_id,late\nc,soon\n")
    with pytest.raises(SourceError, match="files have other columns than each other"):
        read_source(f"{tmp_path}/*.csv")


def test_how_a_column_is_kept_does_not_matter(tmp_path: Path) -> None:
    table = pa.table({"origin": pa.array(["JFK", "JFK"]).dictionary_encode(), "late": [1, 0]})
    pq.write_table(table, tmp_path / "l.parquet")
    assert read_source(str(tmp_path / "l.parquet")).schema.field("origin").type == pa.string()


def test_a_name_that_one_object_lacks_is_null_there(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text('[{"request_id": "a"}, {"request_id": "b", "late": 1, "known_at": "2013"}]')
    assert read_source(str(tmp_path / "l.json")).to_pylist() == [
        {"request_id": "a", "late": None, "known_at": None},
        {"request_id": "b", "late": 1, "known_at": "2013"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("l.parquet", b"PAR1 and no more", "cannot be read as parquet"),
        ("l.csv", b"request_id,late\na,1,2\n", "cannot be read as csv"),
        ("l.csv", b"\xff\xfe\x00", "cannot be read as csv"),
        ("l.json", b'{"a": 1}', "it is no list of rows"),
        ("l.json", b"[1, 2]", "it is no list of rows"),
        ("l.json", b"[{", "cannot be read as json"),
        ("l.json", b"[" * 100_000, "cannot be read as json"),
        ("l.json", b'[{"late": 100000000000000000000}]', "cannot be read as json"),
        ("l.json", b'[{"late": 1}, {"late": "x"}]', "cannot be read as json"),
        ("l.ndjson", b'{"late": 1}\n{"late"', "cannot be read as ndjson"),
        ("l.ndjson", b"\xff\xfe", "cannot be read as ndjson"),
        ("l.csv", b"", "is empty"),
        ("l.ndjson", b" \n\n", "is empty"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name} .*{said}|{name} {said}"):
        read_source(str(tmp_path / name))


def test_what_is_not_there_is_an_error_that_says_what_may_be_named(tmp_path: Path) -> None:
    for source in (tmp_path / "none.csv", tmp_path / "*.parquet", tmp_path):
        with pytest.raises(InputError, match=r"source: there is no .* Name a Parquet or CSV file"):
            read_source(str(source))
    (tmp_path / "l.xlsx").touch()
    with pytest.raises(InputError, match=r"of no known format; expected a name that ends in \.parquet"):
        read_source(str(tmp_path / "l.xlsx"))


@given(st.binary(max_size=60), st.sampled_from(["parquet", "csv", "json", "ndjson"]))
def test_no_bytes_end_in_anything_but_a_table_or_a_named_error(content: bytes, kind: Format) -> None:
    said = ""
    try:
        found = parsed(content, kind, "it")
    except SourceError as error:
        found, said = None, str(error)
    assert isinstance(found, pa.Table) or said.startswith("it ")
