"""The two pipelines say the same: the same stages, in the same order, each one make target and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = {
    "lint": "ci-lint",
    "test": "ci-test",
    "build": "ci-build",
    "train": "ci-train",
    "gate": "ci-gate",
    "deploy-shadow": "ci-deploy STAGE=shadow",
    "verify-shadow": "ci-verify STAGE=shadow",
    "deploy-canary": "ci-deploy STAGE=canary",
    "verify-canary": "ci-verify STAGE=canary",
    "deploy-champion": "ci-deploy STAGE=champion",
    "verify-champion": "ci-verify STAGE=champion",
    "rollback": "ci-rollback",
}
SECRET = "TRUEUP_GATE_KEY"


@pytest.fixture(scope="module")
def gitlab() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def jenkins() -> str:
    return (ROOT / "Jenkinsfile").read_text(encoding="utf-8")


def jobs(gitlab: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The jobs with a script, with what they take over by `extends`."""
    found = {}
    for name, job in gitlab.items():
        if isinstance(job, dict) and "script" in job:
            base = gitlab.get(job.get("extends", ""), {})
            found[name] = {**gitlab.get(base.get("extends", ""), {}), **base, **job}
    return found


def test_gitlab_has_these_stages_and_each_is_one_job_of_its_name_that_is_one_make_target(
    gitlab: dict[str, Any],
) -> None:
    assert gitlab["stages"] == list(STAGES)
    assert {name: (job["stage"], job["script"]) for name, job in jobs(gitlab).items()} == {
        name: (name, f"make {target}") for name, target in STAGES.items()
    }
    assert list(jobs(gitlab)) == list(STAGES)


def test_jenkins_has_the_same_in_the_same_order(jenkins: str) -> None:
    stages = [name for name in re.findall(r"stage\('([^']+)'\)", jenkins) if name != "release"]  # which holds others
    assert [*stages, "rollback"] == list(STAGES)
    assert re.findall(r"\bsh '([^']*)'", jenkins) == [f"make {target}" for target in STAGES.values()]
    assert re.findall(r"\b(?:sh|bat|script|powershell)\b(?! ')", jenkins) == []  # no other kind of step


def test_every_target_is_there_and_a_stage_that_is_none_is_refused() -> None:
    known = (ROOT / "infra" / "ci" / "targets.mk").read_text(encoding="utf-8")
    for target in {line.split()[0] for line in STAGES.values()}:
        assert re.search(rf"^{target}:", known, flags=re.MULTILINE), target
    refused = subprocess.run(
        ["make", "ci-stage", "STAGE=production"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "STAGE=production: name one of shadow canary champion" in refused.stdout


def test_a_training_begins_by_forgetting_the_release_before_it() -> None:
    """Else a pipeline that fails early would take back a release that is well."""
    said = subprocess.run(
        ["make", "--no-print-directory", "-n", "ci-train"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines()[0] == "rm -f build/ci/candidate"


def test_releases_are_of_main_alone_and_one_at_a_time(gitlab: dict[str, Any], jenkins: str) -> None:
    released = list(STAGES)[3:]
    for name, job in jobs(gitlab).items():
        groups = (job.get("resource_group"), job.get("interruptible"))
        assert groups == (("flights-release", False) if name in released else (None, None)), name
        if name in released:
            assert [rule["if"] for rule in job["rules"]] == ["$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"], name
    assert "disableConcurrentBuilds()" in jenkins
    before, _, release = jenkins.partition("stage('release')")
    assert "ci-train" not in before
    assert re.match(r" \{\s+when \{\s+branch 'main'\s+\}", release)


def test_a_champion_takes_a_yes_and_a_failure_a_rollback(gitlab: dict[str, Any], jenkins: str) -> None:
    (rule,) = gitlab["deploy-champion"]["rules"]
    assert (rule["when"], rule["allow_failure"]) == ("manual", False)
    (rule,) = gitlab["rollback"]["rules"]
    assert rule["when"] == "on_failure"
    assert re.search(r"stage\('deploy-champion'\) \{\s+input \{", jenkins)
    assert re.search(r"post \{[^{]*unsuccessful \{[^}]*make ci-rollback", jenkins, flags=re.DOTALL)


def test_the_key_that_signs_is_with_the_stages_that_move_an_alias_alone(gitlab: dict[str, Any], jenkins: str) -> None:
    """GitLab gives it to the jobs of an environment; in Jenkins it is bound where it is needed."""
    moving = {name for name in STAGES if name.startswith("deploy") or name == "rollback"}
    assert {name for name, job in jobs(gitlab).items() if "environment" in job} == moving
    blocks = re.split(r"(?=stage\('|\bpost \{)", jenkins)
    holding = {match[1] for block in blocks if SECRET in block and (match := re.match(r"stage\('([^']+)'", block))}
    assert holding == moving - {"rollback"}
    assert sum(SECRET in block for block in blocks) == len(moving)
    for text in ((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"), jenkins):
        assert "PRIVATE KEY" not in text
    targets = (ROOT / "infra" / "ci" / "targets.mk").read_text(encoding="utf-8")
    assert not re.search(r"TRUEUP_GATE_KEY|PASSWORD|TOKEN|printenv|set -x", targets)


def test_the_gitlab_pipeline_is_of_its_schema() -> None:
    """The one that check-jsonschema brings; no network is asked."""
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", ".gitlab-ci.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_cache_goes_by_the_locks(gitlab: dict[str, Any]) -> None:
    key = gitlab["default"]["cache"]["key"]["files"]
    assert key == ["requirements.lock", "infra/setup/uv.lock.txt"]
    assert all((ROOT / name).is_file() for name in key)
