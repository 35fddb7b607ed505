"""The dashboards: their queries are PromQL on metrics of the catalogue, and people can read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.trueup.monitoring.alerts.cases import CONFIG, VIEWS
from tests.trueup.monitoring.dashboards import queries

from trueup.monitoring.alerts.files import groups_of
from trueup.monitoring.alerts.rules import Record
from trueup.monitoring.dashboards import grafana_files

FILES = grafana_files(CONFIG)
BOARDS: dict[str, dict[str, Any]] = {path: json.loads(text) for path, text in FILES.items() if path.endswith(".json")}
CATALOGUE = (Path(__file__).parents[3] / "platform" / "trueup" / "monitoring" / "README.md").read_text()

every_board = pytest.mark.parametrize("path", BOARDS)


def catalogue() -> set[str]:
    """Names as Prometheus has them: a histogram is three, `..._low` goes on from the name before it."""
    names: set[str] = {"up"}
    for line in CATALOGUE.splitlines():
        if not line.startswith("| `trueup_"):
            continue
        cell = line.split("|")[1]
        first = ""
        for name in re.findall(r"`([\w.]+)`", cell):
            if name.startswith("trueup_"):
                first = name
            end = name.rsplit("_", 1)[-1]
            names.add(name if name.startswith("trueup_") else f"{first}_{end}")
        if "(histogram)" in cell:
            names |= {f"{first}_{end}" for end in ("bucket", "count", "sum")}
    return names


def test_every_metric_that_is_asked_for_is_in_the_catalogue() -> None:
    recorded = {rule.name for group in groups_of(CONFIG, VIEWS) for rule in group.rules if isinstance(rule, Record)}
    known = catalogue() | recorded
    for asked in queries(FILES):
        # Whatever is no function, label, or keyword: the catalogue's names all begin alike.
        names = set(re.findall(r"\b(?:trueup[_:][\w:]+|up)\b", re.sub(r'"[^"]*"', '""', asked.expr)))
        assert names, asked
        assert names <= known, (asked, names - known)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus")
def test_every_query_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"q:{at}", "expr": asked.expr} for at, asked in enumerate(queries(FILES))]
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
