"""The dashboards: their queries are PromQL on metrics of the catalogue, and people can read them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.golden.grafana_schema import faults_of
from tests.trueup.monitoring.alerts.cases import CONFIG, VIEWS
from tests.trueup.monitoring.catalogue import catalogue, unknown
from tests.trueup.monitoring.dashboards import annotations, choices, queries

from trueup.monitoring.alerts.files import groups_of
from trueup.monitoring.alerts.rules import Record
from trueup.monitoring.dashboards import grafana_files

FILES = grafana_files(CONFIG)
BOARDS: dict[str, dict[str, Any]] = {path: json.loads(text) for path, text in FILES.items() if path.endswith(".json")}
EVERY = [*queries(FILES), *annotations(FILES)]

every_board = pytest.mark.parametrize("path", BOARDS)


def known() -> dict[str, frozenset[str]]:
    recorded = [rule.name for group in groups_of(CONFIG, VIEWS) for rule in group.rules if isinstance(rule, Record)]
    return {**catalogue(), **dict.fromkeys(recorded, frozenset[str]())}


def test_every_metric_and_label_that_is_asked_for_is_in_the_catalogue() -> None:
    found = known()
    for asked in EVERY:
        assert not unknown(asked.expr, found, asked.legend), asked
        assert asked.shown <= {"job", "instance"}.union(
            *(found[name] for name in re.findall(r"\b(?:trueup[_:][\w:]+|up)\b", asked.expr))
        ), asked
    for choice in choices(FILES):
        assert choice.label in found[choice.metric], choice


@pytest.mark.parametrize(
    ("expr", "legend", "wrong"),
    [
        ("trueup_nothing", "", {"trueup_nothing"}),
        ('trueup_view_fresh{job="a", verdict=~"}"} > 0', "", {"trueup_view_fresh.verdict"}),
        ("sum by (le, task) (rate(trueup_lookup_seconds_bucket[1m]))", "", {"task"}),
        ("sum(trueup_lookup_seconds)", "", {"trueup_lookup_seconds"}),
        ("trueup_view_fresh", "{{view}} {{service}}", {"service"}),
        ("vector(0)", "", {"vector(0)"}),
        ('sum by (le, service) (rate(trueup_lookup_seconds_bucket{service=~"a}b="}[1m]))', "{{service}}", set()),
    ],
)
def test_what_is_not_in_the_catalogue_is_found(expr: str, legend: str, wrong: set[str]) -> None:
    assert unknown(expr, catalogue(), legend) == wrong


def test_the_catalogue_is_read_whole() -> None:
    found = catalogue()
    assert found["trueup_alias_polls_total"] == {"outcome", "job", "instance"}
    assert found["trueup_model_swaps_total"] == {"job", "instance"}
    assert found["trueup_experiment_effect_low"] == {"experiment", "variant", "metric", "job", "instance"}
    assert found["trueup_request_seconds_bucket"] == {"route", "le", "job", "instance"}
    assert found["trueup_experiment_last_run_timestamp_seconds"] == {"experiment", "job", "instance"}
    assert len(found) > 90


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus")
def test_every_query_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"q:{at}", "expr": asked.expr} for at, asked in enumerate(EVERY)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@every_board
def test_a_board_can_be_read_and_linked_to(path: str) -> None:
    board = BOARDS[path]
    assert board["uid"] == f"trueup-{Path(path).stem}"
    assert board["tags"] == ["trueup"]
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        assert all(reference != "" for reference in references)
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if panel["type"] == "timeseries" and len(panel["targets"]) > 1:
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)


@every_board
def test_panels_fill_their_rows_and_overlap_nowhere(path: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[path]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_a_settings_threshold_is_the_dashboards() -> None:
    changed = CONFIG.model_copy(update={"slo": CONFIG.slo.model_copy(update={"latency_seconds": 0.25})})
    assert grafana_files(changed)["grafana/dashboards/serving.json"] != FILES["grafana/dashboards/serving.json"]
    assert grafana_files(CONFIG) == FILES


@every_board
def test_a_board_is_what_grafanas_schema_says(path: str) -> None:
    assert faults_of(FILES[path]) == []


@every_board
def test_grafanas_schema_refuses_what_it_does_not_know(path: str) -> None:
    board = json.loads(FILES[path])
    board["panels"][1]["gridPos"]["w"] = "wide"
    assert len(faults_of(json.dumps(board))) == 1


@every_board
def test_a_click_leads_to_a_board_and_to_a_choice_that_is_there(path: str) -> None:
    choices_of = {board["uid"]: {each["name"] for each in board["templating"]["list"]} for board in BOARDS.values()}
    leads = set()
    for panel in BOARDS[path]["panels"]:
        for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", ()):
            found = re.fullmatch(r"/d/([\w-]+)\?(.+)", link["url"])
            assert found is not None, link
            uid, parameters = found.groups()
            leads.add(uid)
            assert parameters.startswith("${__url_time_range}&${datasource:queryparam}")
            own = set(re.findall(r"\${(\w+):queryparam}", parameters))
            assert own <= choices_of[BOARDS[path]["uid"]], link
            for name, clicked in re.findall(r"var-(\w+)=\${__\w+\.\w+\.(\w+)}", parameters):
                assert name in choices_of[uid], link
                shown = {label for asked in queries(FILES) if asked.panel == panel["title"] for label in asked.shown}
                assert clicked in shown, link
    assert leads
    assert leads <= set(choices_of) - {BOARDS[path]["uid"]}


def test_grafana_knows_how_often_is_scraped() -> None:
    """It takes 15 s where it is not told, and a rate over less than two scrapes is empty."""
    slow = CONFIG.model_copy(update={"scrape": CONFIG.scrape.model_copy(update={"interval_seconds": 60})})
    files = grafana_files(slow)
    source = yaml.safe_load(files["grafana/provisioning/datasources/prometheus.yml"])["datasources"][0]
    assert source["jsonData"] == {"timeInterval": "60s"}
    assert all("[240s]" in mark.expr for mark in annotations(files))


def test_a_board_says_no_data_where_there_is_none() -> None:
    """A green nought of a job that never ran is a pass of nothing."""
    for asked in queries(FILES):
        assert not re.search(r"or (on \(\) )?vector\(0\)$", asked.expr), asked


def test_the_bytes_depend_on_the_settings_alone() -> None:
    code = (
        "import hashlib; from tests.trueup.monitoring.alerts.cases import CONFIG;"
        "from trueup.monitoring.dashboards import grafana_files;"
        "print(hashlib.sha256(repr(sorted(grafana_files(CONFIG).items())).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/New_York"))
    }
    assert len(seen) == 1
