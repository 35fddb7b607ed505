"""Every alert fires when it should and not on the near miss, by promtool; the files are what the tools accept."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.trueup.monitoring.alerts.cases import CASES, CONFIG, VIEWS, Case

from trueup.monitoring.alerts.files import ALERTMANAGER, PROMETHEUS, alerting_files, groups_of
from trueup.monitoring.alerts.inhibition import INHIBITIONS
from trueup.monitoring.alerts.rules import Alert, alerts_of

GROUPS = groups_of(CONFIG, VIEWS)
ALERTS = alerts_of(GROUPS)
NAMES = tuple(dict.fromkeys(alert.name for alert in ALERTS))
INFRA = Path(__file__).parents[4] / "infra"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: apt-get install --no-install-recommends prometheus"
)
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None,
    reason="amtool is missing: apt-get install --no-install-recommends prometheus-alertmanager",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("infra")
    for name, text in alerting_files(CONFIG, VIEWS).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def rule_of(case: Case) -> Alert:
    found = [
        alert
        for alert in ALERTS
        if alert.name == case.alert and all(alert.labels.get(name) == value for name, value in case.static.items())
    ]
    assert found, case
    return found[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_case_that_fires_and_a_near_miss(name: str) -> None:
    fires = [case.fires is not None for case in CASES if case.alert == name]
    assert True in fires
    assert False in fires


def test_no_case_is_of_an_alert_that_is_no_more() -> None:
    assert {case.alert for case in CASES} <= set(NAMES)


def _test(case: Case) -> dict[str, Any]:
    rule = rule_of(case)
    static = "".join(f",{name}={_quoted(value)}" for name, value in rule.labels.items())
    expected = []
    if case.fires is not None:
        labels = {
            "alertname": rule.name,
            "alertstate": "firing",
            "severity": rule.severity,
            "component": rule.component,
            **rule.labels,
            **case.fires,
        }
        shown = ",".join(f"{name}={_quoted(value)}" for name, value in labels.items())
        expected = [{"labels": f"ALERTS{{{shown}}}", "value": 1}]
    return {
        "name": f"{case.alert}: {case.why}",
        "interval": case.interval,
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"{static}}}',
                "eval_time": case.at,
                "exp_samples": expected,
            }
        ],
    }


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@needs_promtool
@pytest.mark.parametrize("name", NAMES)
def test_it_fires_as_its_cases_say(name: str, tmp_path: Path) -> None:
    # Its own group alone, evaluated as often as is scraped: three days of every rule each minute take a minute.
    group = next(group for group in GROUPS if any(alert.name == name for alert in alerts_of([group])))
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [group.to_yaml("")]}, width=1000))
    for interval in dict.fromkeys(case.interval for case in CASES if case.alert == name):
        tests = [_test(case) for case in CASES if case.alert == name and case.interval == interval]
        path = tmp_path / "test.yml"
        path.write_text(
            yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": interval, "tests": tests}, width=1000)
        )
        done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("folder", ["generated", "committed"])
def test_prometheus_accepts_its_files(folder: str, files: Path) -> None:
    path = (files if folder == "generated" else INFRA) / PROMETHEUS
    done = subprocess.run(["promtool", "check", "config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "duplicate" not in done.stdout + done.stderr


@needs_amtool
@pytest.mark.parametrize("hook", [None, "http://hook.example/trueup"])
def test_alertmanager_accepts_its_file(hook: str | None, tmp_path: Path) -> None:
    alerts = CONFIG.alerts.model_copy(update={"webhook": hook, "webhook_token_file": "/run/secrets/token"})
    path = tmp_path / "alertmanager.yml"
    path.write_text(alerting_files(CONFIG.model_copy(update={"alerts": alerts}), VIEWS)[ALERTMANAGER])
    done = subprocess.run(["amtool", "check-config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    hooks = [
        each
        for receiver in yaml.safe_load(path.read_text())["receivers"]
        for each in receiver.get("webhook_configs", ())
    ]
    assert [each["url"] for each in hooks] == ([] if hook is None else [hook] * 2)


def test_every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() -> None:
    text = (INFRA / "runbook.md").read_text()
    sections = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert sections == list(NAMES)
    for section, body in zip(sections, re.split(r"^## \w+$", text, flags=re.MULTILINE)[1:], strict=True):
        assert len(body.split()) > 20, section
    links = {alert.to_yaml(CONFIG.alerts.runbook_url)["annotations"]["runbook_url"] for alert in ALERTS}
    assert links == {f"infra/runbook.md#{name.lower()}" for name in NAMES}


def test_an_alert_says_what_it_is_and_whom_it_calls() -> None:
    for alert in ALERTS:
        assert re.fullmatch(r"Trueup[A-Z]\w+", alert.name)
        assert alert.severity in ("page", "ticket")
        assert alert.summary.endswith(".")
        assert len(alert.summary) < 100
        assert re.search(r"([.?]|\{\{ end \}\})$", alert.description), alert.description


def test_inhibitions_are_of_alerts_there_are_and_by_labels_they_have() -> None:
    for each in INHIBITIONS:
        assert {each.source, *each.targets} <= set(NAMES), each
        for name in (each.source, *each.targets):
            having = [
                set(case.fires) | set(rule_of(case).labels)
                for case in CASES
                if case.alert == name and case.fires is not None
            ]
            assert any(set(each.equal) <= labels for labels in having), (each, name)


def test_a_repository_without_cadence_ttl_or_experiment_has_rules_too() -> None:
    plain = alerts_of(groups_of(CONFIG, [VIEWS[1]]))
    assert {alert.name for alert in ALERTS} - {alert.name for alert in plain} == {
        "TrueupLateMaterialization",
        "TrueupStaleView",
    }


def test_the_same_settings_and_views_make_the_same_bytes() -> None:
    assert alerting_files(CONFIG, VIEWS) == alerting_files(CONFIG.model_copy(deep=True), list(VIEWS))
