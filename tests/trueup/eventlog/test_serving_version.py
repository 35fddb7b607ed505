"""What a server's settings are called in the log, and how two of them are held against each other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.trueup.eventlog.served import FLIGHTS, contract, served

from trueup.errors import SourceError
from trueup.eventlog.layout import log_directory, serving_file
from trueup.eventlog.reader import read_log, read_serving
from trueup.eventlog.records import LATER_COLUMNS
from trueup.eventlog.serving_version import SETTINGS, ServingVersion, described, differences, unmet
from trueup.eventlog.stream import stream_log
from trueup.eventlog.writer import LogWriter

VERSION = ServingVersion(
    workers=1,
    service_threads=1,
    model_threads=1,
    concurrency=64,
    max_rows=500,
    max_body_bytes=1_048_576,
    online_timeout_seconds=2.0,
    stop_seconds=30,
    fallback="refuse",
    clock="wall",
    log_queue_rows=100_000,
    log_batch_rows=5_000,
    log_batch_seconds=5.0,
)
QUICK = dataclasses.replace(VERSION, online_timeout_seconds=0.25, fallback="missing")


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_in_the_hash(name: str) -> None:
    before = getattr(VERSION, name)
    changed = dataclasses.replace(VERSION, **{name: f"not {before}" if isinstance(before, str) else before + 1})
    assert changed.hash != VERSION.hash
    (difference,) = differences(VERSION.to_json(), changed.to_json())
    assert difference.startswith(f"{name} ")


def test_the_hash_is_that_of_the_committed_form() -> None:
    """Logs name it: it may not change unless the format's number does."""
    assert VERSION.hash == "b121b7152653fdc79679146ae0b6a1fa6847d48765f569c4e3724a9458cd5550"
    assert dataclasses.replace(VERSION).hash == VERSION.hash


def test_differences_name_the_setting_and_both_values() -> None:
    assert differences(VERSION.to_json(), VERSION.to_json()) == ()
    assert differences(VERSION.to_json(), QUICK.to_json()) == (
        "online_timeout_seconds 2 -> 0.25",
        "fallback refuse -> missing",
    )
    newer = {**VERSION.to_json(), "format": 2, "breaker": True}
    assert differences(VERSION.to_json(), newer) == ("breaker not known -> True",)
    assert "model_threads not set" in described(dataclasses.replace(VERSION, model_threads=None).to_json())


def test_what_is_expected_and_is_not_so_is_named() -> None:
    assert unmet({"fallback": "refuse", "online_timeout_seconds": 2}, VERSION.to_json()) == ()
    assert unmet({"fallback": "refuse", "workers": 1}, QUICK.to_json()) == ("fallback is missing, expected refuse",)
    assert unmet({"breaker": True}, VERSION.to_json()) == ("breaker is not known, expected True",)


def test_each_row_names_its_version_and_the_log_keeps_what_it_says_once(tmp_path: Path) -> None:
    for serving in (VERSION, QUICK, QUICK):
        with LogWriter(tmp_path, [FLIGHTS], serving=serving) as log:
            log.offer(served(serving.fallback))
    directory = log_directory(tmp_path, FLIGHTS)
    rows = read_log(directory).table.to_pylist()
    assert {(row["__request_id"], row["__serving_version"]) for row in rows} == {
        ("refuse", VERSION.hash),
        ("missing", QUICK.hash),
    }
    assert sorted(path.stem for path in (directory / "_serving").iterdir()) == sorted([VERSION.hash, QUICK.hash])
    assert read_serving(directory, QUICK.hash) == QUICK.to_json()


def test_a_contract_that_a_running_log_takes_in_has_its_version_too(tmp_path: Path) -> None:
    another = contract("another")
    with LogWriter(tmp_path, [FLIGHTS], serving=VERSION) as log:
        log.take_in(another)
        log.take_in(FLIGHTS)
        log.offer(served(under=another))
        log.flush()
        assert log.state.error is None
    directory = log_directory(tmp_path, another)
    assert read_serving(directory, VERSION.hash) == VERSION.to_json()
    assert read_log(directory).num_rows == 2


def test_a_version_that_is_gone_or_was_changed_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with LogWriter(tmp_path, [FLIGHTS], serving=VERSION):
        pass
    directory = log_directory(tmp_path, FLIGHTS)
    path = serving_file(directory, VERSION.hash)
    path.write_text(json.dumps({**VERSION.to_json(), "workers": 2}))
    with pytest.raises(SourceError, match=f"{VERSION.hash}.json is not the serving version it is named for"):
        read_serving(directory, VERSION.hash)
    path.write_text("{")
    with pytest.raises(SourceError, match="cannot be read"):
        read_serving(directory, VERSION.hash)
    path.unlink()
    with pytest.raises(SourceError, match="is not there"):
        read_serving(directory, VERSION.hash)


@pytest.mark.parametrize("missing", [LATER_COLUMNS, LATER_COLUMNS[:1]])
def test_a_log_of_an_older_trueup_is_read_and_its_version_is_not_known(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    with LogWriter(tmp_path, [FLIGHTS], serving=VERSION) as log:
        log.offer(served("new"))
    directory = log_directory(tmp_path, FLIGHTS)
    (path,) = directory.rglob("*.parquet")
    table = pq.ParquetFile(path).read()
    pq.write_table(table.drop_columns(list(missing)), path)
    whole = read_log(directory).table
    assert [whole.column(name).null_count for name in missing] == [whole.num_rows] * len(missing)
    assert whole.drop_columns(list(missing)).num_rows == 2
    ((_, rows),) = stream_log(directory, FLIGHTS)
    assert rows.labels.column("__fallback").null_count == 2  # type: ignore[union-attr]
