"""Who meets which experiment over real HTTP: what answers, what watches, and what the log, /readyz and /metrics say."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.oracles import assignment as oracle
from tests.serving.conftest import Live, Serve
from tests.serving.world import NOON, World, entity

from trueup.eventlog.layout import log_directory
from trueup.eventlog.reader import read_experiment
from trueup.instants import format_instant

UNITS = [f"f-{number}" for number in range(40)]
ROWS = [entity(number) for number in range(40)]
AB = """
name = "{name}"
unit = "flight"
salt = "{name}"
{fields}
[[variants]]
name = "{name}-honest"
model = "honest"
weight = 1
[[variants]]
name = "{name}-leaky"
model = "leaky"
weight = 1
"""
SMALL = '[[variants]]\nname = "{name}-small"\nmodel = "small"\nshadow = true\n'


@pytest.fixture
def live(serve: Serve, tmp_path: Path) -> Any:
    """`live(text, ...)` serves one experiment for each file's text."""

    def start(*texts: str) -> Live:
        paths = [tmp_path / f"{number}.toml" for number, _ in enumerate(texts)]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        return serve((), experiments=[str(path) for path in paths])

    return start


def ab(name: str = "ab", fields: str = "", more: str = "") -> str:
    return AB.format(name=name, fields=fields) + more.format(name=name)


def logged(live: Live, world: World, service: str = "both_v1") -> list[dict[str, Any]]:
    return live.logged(world.contracts[service])


def test_who_takes_part_is_answered_by_his_variant_and_everybody_else_by_the_control(live: Any, world: World) -> None:
    running = live(ab(fields='traffic = 0.5\nholdout = 0.2\ncontrol = "ab-leaky"'))
    answered = running.predict(ROWS).json()["predictions"]
    (design,) = running.service.design.experiments
    expected = [oracle.assigned(design.split(), unit, NOON) for unit in UNITS]
    assert [each["variant"] for each in answered] == [variant for variant, _ in expected]
    rows = logged(running, world)
    assert [(row["__variant"], row["__exposure"]) for row in rows] == expected
    assert {row["__role"] for row in rows} == {"answer"}
    assert {exposure for _, exposure in expected} == {"assigned", "holdout", "not in traffic"}


def test_each_row_names_the_split_it_was_assigned_under_and_the_log_keeps_it_under_every_contract(
    live: Any, world: World
) -> None:
    running = live(ab(more=SMALL))
    running.predict(ROWS)
    (design,) = running.service.design.experiments
    for service in ("both_v1", "small_v1"):
        rows = logged(running, world, service)
        assert {(row["__experiment"], row["__experiment_version"]) for row in rows} == {("ab", design.hash)}
        directory = log_directory(running.service.log.root, world.contracts[service])
        assert read_experiment(directory, design.hash) == design.split()


def test_before_its_start_and_from_its_end_on_the_control_answers_by_the_requests_own_instant(
    live: Any, world: World
) -> None:
    end = NOON + timedelta(hours=1)
    running = live(ab(fields=f"start = {format_instant(NOON)}\nend = {format_instant(end)}"))
    tick = timedelta(microseconds=1)
    answered: dict[str, set[str]] = {}
    for at, exposure in ((NOON - tick, "not started"), (end - tick, "assigned"), (end, "ended")):
        body = {"entities": ROWS, "request_id": exposure.replace(" ", "-")}
        response = running.http.post("/v1/predict", json=body, headers={"X-Trueup-Now": format_instant(at)})
        assert response.status_code == 200, response.text
        answered[exposure] = {each["variant"] for each in response.json()["predictions"]}
    assert answered == {
        "not started": {"ab-honest"},
        "assigned": {"ab-honest", "ab-leaky"},
        "ended": {"ab-honest"},
    }
    assert {(row["__request_id"], row["__exposure"]) for row in logged(running, world)} == {
        (exposure.replace(" ", "-"), exposure) for exposure in answered
    }


def test_a_shadow_variant_scores_every_row_and_answers_none(live: Any, world: World) -> None:
    """Those that do not take part too; the variants that answer do not watch each other."""
    running = live(ab(fields="traffic = 0.5", more=SMALL))
    answered = running.predict(ROWS).json()["predictions"]
    assert {each["model"] for each in answered} == {"honest", "leaky"}
    assert [(row["__unit"], row["__model"], row["__role"]) for row in logged(running, world, "small_v1")] == [
        (unit, "small", "shadow") for unit in UNITS
    ]
    assert [(row["__model"], row["__role"]) for row in logged(running, world)] == [
        (each["model"], "answer") for each in answered
    ]


def test_two_experiments_of_a_layer_share_no_unit_and_are_logged_each_by_its_own_name(live: Any, world: World) -> None:
    layer = 'layer = {{name = "main", salt = "m", from = {}, to = {}}}'
    texts = [
        ab("one", "shadow = true\n" + layer.format(0.0, 0.4)),
        ab("two", "holdout = 0.3\n" + layer.format(0.4, 0.8)),
    ]
    running = live(*texts)
    answered = running.predict(ROWS).json()["predictions"]
    splits = {each.name: each.split() for each in running.service.design.experiments}
    expected = []
    for unit in UNITS:
        said = {name: oracle.assigned(split, unit, NOON) for name, split in splits.items()}
        mine = [name for name, (_, exposure) in said.items() if exposure != "outside layer"]
        assert len(mine) <= 1
        name = mine[0] if mine else "one"
        expected.append((name, *said[name]))
    assert [each["variant"] for each in answered] == [variant for _, variant, _ in expected]
    rows = logged(running, world)
    answers = [row for row in rows if row["__role"] == "answer"]
    assert [(row["__experiment"], row["__variant"], row["__exposure"]) for row in answers] == expected
    assert {exposure for *_, exposure in expected} == {"assigned", "holdout", "outside layer"}
    watched = {row["__experiment"] for row in rows if row["__role"] == "shadow"}
    assert watched == {"one"}, "the other one asked for no shadows"


def test_readyz_has_each_experiments_hash_and_metrics_count_rows_by_exposure(live: Any) -> None:
    running = live(ab(fields="traffic = 0.5"))
    running.predict(ROWS)
    (design,) = running.service.design.experiments
    ready = running.http.get("/readyz").json()
    assert (ready["experiment"], ready["experiments"]) == ("ab", {"ab": design.hash})
    counted = Counter(oracle.assigned(design.split(), unit, NOON) for unit in UNITS)
    exposures = Counter[str]()
    variants = Counter[str]()
    for (variant, exposure), rows in counted.items():
        exposures[exposure] += rows
        variants[variant] += rows
    for exposure in ("assigned", "not in traffic", "holdout"):
        assert running.metric("trueup_exposures_total", experiment="ab", exposure=exposure) == exposures[exposure]
    for variant in ("ab-honest", "ab-leaky"):
        assert running.metric("trueup_assignments_total", experiment="ab", variant=variant) == variants[variant]


def test_a_ramp_between_two_starts_of_a_server_takes_units_in_and_moves_none(live: Any, world: World) -> None:
    stopped = live(ab(fields="traffic = 0.3"))
    before = stopped.predict(ROWS).json()["predictions"]
    stopped.service.log.close()
    running = live(ab(fields="traffic = 0.9"))
    after = running.predict(ROWS).json()["predictions"]
    moved = {(one["variant"], other["variant"]) for one, other in zip(before, after, strict=True)}
    assert ("ab-leaky", "ab-honest") not in moved
    assert ("ab-honest", "ab-leaky") in moved, "the control answered who was not in the traffic yet"
    assert len({row["__experiment_version"] for row in logged(running, world)}) == 2
