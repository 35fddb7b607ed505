"""Served logs with their outcomes: every row once, whatever the log delivered, and the same however it is read."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.trueup.eventlog.served import FLIGHTS, NOON, contract, served

from trueup.contracts.contract import FeatureContract
from trueup.errors import InputError, SourceError
from trueup.eventlog.labelled import LABEL_STATES, Labelled
from trueup.eventlog.layout import log_directory
from trueup.eventlog.outcomes import Outcomes, labelled_log
from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.eventlog.outcomes.labelled_log import fit_to_log, requests
from trueup.eventlog.records import ServedRows, log_schema
from trueup.eventlog.writer import LogLimits, LogWriter

LIMITS = LogLimits(queue_rows=1_000, batch_rows=1_000, batch_seconds=3600.0)
DAY = timedelta(days=1)
LATER = NOON + 30 * DAY


def write(root: Path, *rows: ServedRows, name: str = "w") -> None:
    contracts = {each.contract.hash: each.contract for each in rows}
    with LogWriter(root, contracts.values(), LIMITS, name=name) as writer:
        for each in rows:
            writer.offer(each)


def outcomes(*rows: dict[str, Any]) -> Outcomes:
    full = [{"value": 1.0, "known_at": NOON + DAY, **row} for row in rows]
    return Outcomes("late", pa.Table.from_pylist(full, SCHEMA))


def by_id(request: str, value: float = 1.0, *, row: int = 0, known_at: datetime = NOON + DAY) -> dict[str, Any]:
    return {"request_id": request, "row": row, "value": value, "known_at": known_at}


def read(root: Path, found: Outcomes, **wanted: Any) -> list[tuple[FeatureContract, Labelled]]:
    how = {"now": LATER, "delay": DAY, "absent": "unknown", **wanted}
    return list(labelled_log(root, found, **how))


def one(root: Path, found: Outcomes, **wanted: Any) -> Labelled:
    ((_, labelled),) = read(root, found, **wanted)
    return labelled


def requests_of(labelled: Labelled) -> list[str]:
    return labelled.rows.column("__request_id").to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Requests of two rows at noon on three days, each scored by both models."""
    write(tmp_path, *(served(f"day {day}", rows=2, instant=NOON + day * DAY) for day in range(3)))
    return tmp_path


def test_each_row_has_its_outcome_whichever_model_scored_it(log: Path) -> None:
    labelled = one(log, outcomes(by_id("day 1", 0.0, row=1), by_id("day 2", 1.0)))
    values = dict(
        zip(zip(requests_of(labelled), labelled.rows["__row"].to_pylist(), strict=True), labelled.values, strict=True)
    )
    assert labelled.rows.num_rows == 12
    assert values["day 1", 1] == 0.0
    assert values["day 2", 0] == 1.0
    assert int(np.isfinite(labelled.values).sum()) == 4
    assert list(labelled.by_model()) == [
        {"model": name, "version": "3", "mature": 2, "early": 0, "immature": 0, "missing": 4}
        for name in ("flights", "flights_leaky")
    ]


def test_an_exact_copy_is_left_out_and_counted(log: Path) -> None:
    (file,) = (log_directory(log, FLIGHTS) / "date=2013-11-02").iterdir()
    shutil.copy(file, file.with_name("again.parquet"))
    labelled = one(log, outcomes(by_id("day 1")))
    assert labelled.counts["copies"] == 4
    assert labelled.rows.num_rows == 12


def test_rows_that_differ_in_anything_are_no_copies(log: Path) -> None:
    write(log, served("day 1", rows=2, instant=NOON + DAY, models=("other", "flights")), name="x")
    labelled = one(log, outcomes(by_id("day 1")))
    assert labelled.counts["copies"] == 0
    assert labelled.rows.num_rows == 16


@pytest.mark.parametrize("batch_rows", [1, 5, 1000])
def test_the_size_of_the_batches_changes_nothing(log: Path, batch_rows: int) -> None:
    for file in sorted(log.glob("*/*/date=*/*.parquet"))[:2]:
        shutil.copy(file, file.with_name("again.parquet"))
    found = outcomes(by_id("day 0"), by_id("day 2", 0.0, row=1))
    whole, parts = one(log, found), one(log, found, batch_rows=batch_rows)
    assert parts.rows.equals(whole.rows)
    assert parts.values.tobytes() == whole.values.tobytes()
    assert parts.counts == whole.counts


def test_models_and_days_are_chosen(log: Path) -> None:
    labelled = one(log, outcomes(by_id("day 1")), models=["flights"], start=NOON + DAY, end=NOON + 2 * DAY)
    assert requests_of(labelled) == ["day 1", "day 1"]
    assert read(log, outcomes(by_id("day 1")), models=["nobody"]) == []


def test_columns_are_chosen_beside_those_that_say_which_row_it_is(log: Path) -> None:
    labelled = one(log, outcomes(by_id("day 1")), columns=["__prediction", "plane__speed"])
    always = {"__request_id", "__row", "__log_timestamp", "__model", "__model_version", "__role"}
    assert set(labelled.rows.column_names) == always | {"__prediction", "plane__speed"}
    assert one(log, outcomes(by_id("day 1"))).rows.column_names == log_schema(FLIGHTS).names


def test_a_column_that_no_log_has_is_named(log: Path) -> None:
    with pytest.raises(InputError, match=r"no served row under .* has 'nonesuch'"):
        read(log, outcomes(by_id("day 1")), columns=["__prediction", "nonesuch"])


def test_each_contract_is_read_by_itself(log: Path) -> None:
    other = contract("other")
    write(log, served("other", instant=NOON, under=other), name="o")
    found = {under.service: labelled for under, labelled in read(log, outcomes(by_id("other"), by_id("day 0")))}
    assert {name: labelled.counts["matched"] for name, labelled in found.items()} == {"flights": 1, "other": 1}
    assert fit_to_log(log, outcomes(by_id("other"), by_id("day 0"), by_id("none")), now=LATER) == {
        "matched": 2,
        "orphans": 1,
        "duplicates": 0,
        "restated": 0,
        "ambiguous": 0,
        "not yet known": 0,
    }


def test_a_row_served_after_now_is_from_the_future(log: Path) -> None:
    labelled = one(log, outcomes(by_id("day 2")), now=NOON + DAY)
    assert labelled.counts["rows from the future"] == 4
    assert set(requests_of(labelled)) == {"day 0", "day 1"}


def test_rows_are_immature_until_their_delay_is_over(log: Path) -> None:
    labelled = one(log, outcomes(by_id("none")), now=NOON + 2 * DAY, delay=DAY + timedelta(microseconds=1))
    said = {r: LABEL_STATES[s] for r, s in zip(requests_of(labelled), labelled.states, strict=True)}
    assert said == {"day 0": "missing", "day 1": "immature", "day 2": "immature"}


def entity(at: datetime, within: timedelta, **keys: str) -> dict[str, Any]:
    text = ",".join(f'"{name}":"{value}"' for name, value in sorted(keys.items()))
    return {"keys": f"{{{text}}}", "at": at, "within": within // timedelta(microseconds=1)}


def test_an_entity_means_a_row_of_the_whole_log_whatever_is_asked_for(tmp_path: Path) -> None:
    """Of the model's own rows another would seem the last before the instant."""
    write(
        tmp_path,
        served("first", instant=NOON, models=("flights",)),
        served("second", instant=NOON + timedelta(minutes=5), models=("flights_leaky",)),
    )
    found = outcomes(entity(NOON + timedelta(minutes=6), timedelta(hours=1), tailnum="N1", line="7"))
    assert one(tmp_path, found, models=["flights_leaky"]).values.tolist() == [1.0]
    alone = one(tmp_path, found, models=["flights"])
    assert np.isnan(alone.values).all()
    assert one(tmp_path, found, end=NOON + timedelta(minutes=1)).counts["matched"] == 0


def test_an_entity_is_looked_for_in_every_contract(tmp_path: Path) -> None:
    other = contract("other")
    write(tmp_path, served("mine", instant=NOON), served("theirs", instant=NOON + DAY, under=other))
    found = outcomes(entity(NOON + 2 * DAY, timedelta(days=3), tailnum="N1"))
    values = {under.service: labelled.values.tolist() for under, labelled in read(tmp_path, found)}
    assert values["other"] == [1.0, 1.0]
    assert np.isnan(values["flights"]).all()


def test_a_key_that_no_log_has_is_an_error(log: Path) -> None:
    with pytest.raises(InputError, match="keyed by 'airline', which the served rows do not have"):
        read(log, outcomes(entity(NOON, DAY, airline="UA")))


def test_without_a_log_there_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "none", outcomes(by_id("a"))) == []
    assert read(tmp_path, outcomes(by_id("a"))) == []
    assert requests(tmp_path).num_rows == 0
    assert fit_to_log(tmp_path, outcomes(by_id("a")), now=LATER) is None


def test_a_damaged_log_is_an_error_that_names_the_file(log: Path) -> None:
    file = next(log_directory(log, FLIGHTS).glob("date=*/*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SourceError, match=file.name):
        read(log, outcomes(by_id("a")))
