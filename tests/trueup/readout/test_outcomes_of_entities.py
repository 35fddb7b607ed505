"""An outcome by entity and time means a row of the whole log, though a read-out looks at its experiment alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.trueup.eventlog.served import FLIGHTS, NOON, served

from trueup.eventlog.labelled import Labelled
from trueup.eventlog.outcomes import keep_outcomes
from trueup.eventlog.outcomes.kept import SCHEMA
from trueup.eventlog.writer import LogLimits, LogWriter
from trueup.experiments.toml import load_experiment
from trueup.readout.evidence import gather

EXPERIMENT = """
name = "ab"
unit = "tailnum"
salt = "ab"

[[variants]]
name = "flights"
model = "flights"
weight = 50

[[variants]]
name = "flights_leaky"
model = "flights_leaky"
weight = 50

[[metrics]]
name = "late"
outcome = "late"
"""


@pytest.mark.parametrize(("minutes", "of_the_experiment"), [(3, True), (6, False)])
def test_a_later_row_of_another_experiment_is_the_one_that_is_meant(
    tmp_path: Path, minutes: int, of_the_experiment: bool
) -> None:
    other = replace(served("theirs", instant=NOON + timedelta(minutes=5)), experiment="other")
    limits = LogLimits(queue_rows=100, batch_rows=100, batch_seconds=3600.0)
    with LogWriter(tmp_path / "log", [FLIGHTS], limits, name="w") as writer:
        writer.offer(served("mine", instant=NOON))
        writer.offer(other)
    at = NOON + timedelta(minutes=minutes)
    row = {"keys": '{"tailnum":"N1"}', "at": at, "within": 3_600_000_000, "value": 1.0, "known_at": at}
    keep_outcomes(tmp_path / "outcomes", "late", pa.Table.from_pylist([row], SCHEMA))
    (tmp_path / "ab.toml").write_text(EXPERIMENT, encoding="utf-8")
    facts = gather(
        load_experiment(tmp_path / "ab.toml"),
        log=tmp_path / "log",
        outcomes=tmp_path / "outcomes",
        now=NOON + timedelta(days=1),
        since=None,
        until=None,
        segments=(),
        parity=None,
        progress=lambda _: None,
    )
    found = facts.outcomes["late"]
    assert isinstance(found, Labelled)
    assert set(found.rows.column("__request_id").to_pylist()) == {"mine"}
    assert bool(np.isfinite(found.values).all()) == of_the_experiment
