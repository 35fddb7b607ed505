"""What is committed for Prometheus, Alertmanager and Grafana is what the settings and the definitions make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trueup.cli import app

ROOT = Path(__file__).parents[2]


def generate(repo: Path, *arguments: str) -> tuple[int, list[dict[str, str]]]:
    settings = ["--config", str(ROOT / "infra" / "monitoring.toml"), "--repo", str(repo)]
    found = CliRunner().invoke(app, ["monitoring", "generate", *settings, "--json", *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, json.loads(found.stdout)


def test_the_committed_files_are_those_that_would_be_written(repo: Path) -> None:
    code, files = generate(repo, "--out", str(ROOT / "infra"), "--check")
    assert {each["file"]: each["was"] for each in files if each["was"] != "same"} == {}
    assert code == 0


def test_a_file_that_is_missing_or_changed_fails_the_check_and_is_written_again(repo: Path, tmp_path: Path) -> None:
    code, files = generate(repo, "--out", str(tmp_path), "--check")
    assert (code, {each["was"] for each in files}) == (1, {"missing"})
    assert not any(tmp_path.iterdir())  # a check writes nothing
    assert generate(repo, "--out", str(tmp_path))[0] == 0
    rules = tmp_path / "prometheus" / "rules.yml"
    rules.write_text(rules.read_text().replace("21600", "99999"))
    code, files = generate(repo, "--out", str(tmp_path), "--check")
    assert (code, [each["file"] for each in files if each["was"] == "differs"]) == (1, [str(rules)])
    assert generate(repo, "--out", str(tmp_path))[0] == 0
    assert generate(repo, "--out", str(tmp_path), "--check")[0] == 0


@pytest.mark.parametrize("expected", ["weather", "plane_last_flight"])
def test_each_views_own_ttl_and_cadence_are_its_thresholds(repo: Path, tmp_path: Path, expected: str) -> None:
    from trueup.contracts.stored import stored_views
    from trueup.stores.feast_rows import open_store

    generate(repo, "--out", str(tmp_path))
    text = (tmp_path / "prometheus" / "rules.yml").read_text()
    (view,) = stored_views(open_store(repo), None, [expected]).contract.views
    assert view.ttl is not None
    series = f'trueup_view_newest_event_timestamp_seconds{{view="{expected}"}}'
    assert f"{series}) > {view.ttl.total_seconds():g}" in " ".join(text.split())
