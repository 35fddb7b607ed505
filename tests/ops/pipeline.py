"""`make pipeline-check`: gitlab-ci-local executes `.gitlab-ci.yml`, on eight weeks of flights, in its own checkout.

One release goes to champion; a second one meets skew as a canary, and is taken back everywhere. MLflow, Redis, the
server that follows the aliases and every stage are real; what is small is said by variables of the make targets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from tests.ops.groovy import groovy_problems
from tests.ops.npm import npm_program
from tests.ops.outcome import Outcome, missing
from tests.ops.stack import free_port
from tests.pipeline.loop import ROOT, make_repository, replace
from tests.trueup.datasets.dvc_world import commit, dvc_environment

from trueup.stores.local_redis import LocalRedis

PART = "pipeline"
RUNNER = "gitlab-ci-local@4.63.0"
"""Newer ones crash on Node 20."""
HOW_TO_GET_THEM = "apt-get install nodejs npm rsync git"
MATERIALIZED, ASKED_AT = "2013-10-27T00:00:00Z", "2013-10-27T00:30:00Z"
STAGES = ("shadow", "canary", "champion")
RELEASE = ("train", "gate", "deploy-shadow", "verify-shadow", "deploy-canary", "verify-canary")
PATIENCE_SECONDS = 120.0
SHORTER = {
    "start = 2013-10-05T04:00:00Z": "start = 2013-10-12T04:00:00Z",
    "start = 2013-10-20T04:00:00Z": "start = 2013-10-23T04:00:00Z",
}
"""Of the recipe: eight days to learn from, and three days held out."""
# One view's values, all of them one higher than any source ever said.
SKEW = """
import sys
import pandas as pd
from feast import FeatureStore
store = FeatureStore(repo_path="feature_repo")
view = store.get_feature_view("weather")
names = [item.name for item in view.features]
at = pd.Timestamp(sys.argv[1])
rows = pd.DataFrame([{"origin": origin, **dict.fromkeys(names, 1)} for origin in ("EWR", "JFK", "LGA")])
source = view.batch_source
rows[source.timestamp_field] = at
if source.created_timestamp_column:
    rows[source.created_timestamp_column] = at
store.write_to_online_store("weather", rows)
"""


@dataclass
class Place:
    """A checkout, what its pipeline runs under, and how long each part took."""

    root: Path
    redis: str
    port: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def key(self) -> Path:
        return self.root / "gate.pem"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The project's and the runner's. Of the small scale, none changes what a stage is."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("TRUEUP_", "CI_", "VIRTUAL_"))}
        return {
            **own,
            **dvc_environment(self.root),
            "PATH": os.environ["PATH"],
            "TRUEUP_REDIS_URL": self.redis,
            "TRUEUP_TRACKING_URI": f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}",
            "TRUEUP_LOG_DIR": str(self.root / "served"),
            "TRUEUP_GATE_LATENCY_P99_MS": "5000",
            "TRUEUP_GATE_REQUESTS": "40",
            "CI_TESTS": "tests/trueup/test_instants.py tests/trueup/gate/test_verdict.py",
            "CI_IMAGES": "",
            "CI_SERVERS": self.url,
            "CI_VERIFY": f"--now {ASKED_AT} --requests 120",
            "TEST_WORKERS": "0",
        }

    def run(self, name: str, *command: str, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Exit code and all that was printed, which is kept in a file too."""
        started = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env={**self.variables, **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.seconds[name] = round(time.monotonic() - started, 1)
        (self.root / f"{name}.log").write_text(done.stdout)
        (self.root / "seconds.json").write_text(json.dumps(self.seconds, indent=2))
        return done.returncode, done.stdout

    def must(self, name: str, *command: str, **variables: str) -> str:
        code, said = self.run(name, *command, variables=variables)
        assert code == 0, f"{name} exited with {code}:\n{said[-3000:]}"
        return said

    def aliases(self) -> dict[str, int | None]:
        from trueup.models.tracking import Tracking

        tracking = Tracking(self.variables["TRUEUP_TRACKING_URI"])
        return {stage: tracking.alias("flights", stage) for stage in STAGES}

    def served(self) -> tuple[str, dict[str, int]]:
        """What /readyz says: its status, and the version behind each alias."""
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=10) as answer:
            said = json.load(answer)
        return said["status"], {each["alias"]: int(each["version"]) for each in said["variants"]}


def check() -> Outcome:
    if gone := missing("npm", "node", "rsync", "git"):
        return Outcome(PART, "skipped", f"there is no {', '.join(gone)}: {HOW_TO_GET_THEM}")
    runner = npm_program(ROOT / "build" / "npm", RUNNER)
    if runner is None:
        return Outcome(PART, "skipped", f"npm cannot get {RUNNER} here.")
    root = ROOT / "build" / "pipeline"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    groovy = groovy_problems(ROOT / "build" / "npm", ROOT / "Jenkinsfile")
    if isinstance(groovy, list) and groovy:
        return Outcome(PART, "failed", f"Jenkinsfile: {'; '.join(groovy)}")
    with LocalRedis(root / "redis") as redis:
        place = Place(root, redis.url, free_port())
        _first_release(place)
        with _server(place):
            _good_release(place, runner)
            _bad_release(place, runner)
    linted = "the Jenkinsfile is linted" if isinstance(groovy, list) else f"the Jenkinsfile is not linted ({groovy})"
    said = f"lint to champion and followed; a canary with skew was taken back everywhere; {linted}."
    return Outcome(PART, "passed", said, {"seconds": place.seconds})


def _first_release(place: Place) -> None:
    """By hand, by the targets that the pipeline calls: the server starts with a version behind each of its aliases."""
    checkout = place.checkout
    make_repository(checkout, before=("9",))
    replace(checkout / "training" / "recipes" / "flights.toml", SHORTER)
    shutil.copytree(ROOT / "tests", checkout / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=checkout, check=True)
    (checkout / ".git" / "info" / "exclude").write_text(".gitlab-ci-local-variables.yml\n")
    commit(checkout, "eight weeks of flights")
    place.must("setup", "make", "setup")
    place.must("key", ".venv/bin/trueup", "gate", "key", "--out", str(place.key))
    place.must("first-train", "make", "ci-train")
    place.must("materialize", ".venv/bin/trueup", "materialize", "--end", MATERIALIZED, "--known-at", MATERIALIZED)
    place.must("first-reproduce", "sh", "-c", '.venv/bin/trueup reproduce "$(cat build/ci/candidate)"')
    for stage in reversed(STAGES):
        place.must(f"first-{stage}", "make", "ci-deploy", f"STAGE={stage}", TRUEUP_GATE_KEY=str(place.key))
    assert set(place.aliases().values()) == {1}, place.aliases()
    commit(checkout, "what DVC made of it")
    # As GitLab keeps it: a variable of type file, which the jobs of these environments alone are given.
    text = "".join(f"      {line}\n" for line in place.key.read_text().splitlines())
    (checkout / ".gitlab-ci-local-variables.yml").write_text(
        f"---\nTRUEUP_GATE_KEY:\n  type: file\n  values:\n    'flights/*': |\n{text}"
    )


@contextmanager
def _server(place: Place) -> Iterator[None]:
    """The one that serves all along, with the rollout's experiment; it has the key's public half."""
    variables = {
        **place.variables,
        "TRUEUP_SERVING_EXPERIMENTS": '["serving/experiments/flights-rollout.toml"]',
        "TRUEUP_SERVING_ALIAS_POLL_SECONDS": "1",
        "TRUEUP_GATE_KEY": f"{place.key}.pub",
    }
    command = [".venv/bin/trueup", "serve", "--config", "serving/serving.toml", "--port", str(place.port)]
    with (place.root / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place.checkout, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        _until(lambda: process.poll() is not None or _is_up(place), "a server that answers")
        assert process.poll() is None, (place.root / "server.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait()


def _is_up(place: Place) -> bool:
    try:
        return place.served()[0] == "ready"
    except OSError:
        return False


def _good_release(place: Place, runner: Path) -> None:
    _change_recipe(place, "max_iter = 20", "max_iter = 24")
    code, said = _pipeline(place, runner, "good", "--manual", "deploy-champion")
    assert code == 0, said[-4000:]
    assert set(place.aliases().values()) == {2}, place.aliases()
    assert place.served() == ("ready", dict.fromkeys(STAGES, 2)), place.served()


def _bad_release(place: Place, runner: Path) -> None:
    """Jobs by name, up to the one that is to fail: gitlab-ci-local starts no `on_failure` job while others before it
    have not run, as GitLab does."""
    _change_recipe(place, "max_iter = 24", "max_iter = 22")
    stop = Event()
    watcher = Thread(target=_skew_when_canary, args=(place, 3, stop))
    watcher.start()
    try:
        code, said = _pipeline(place, runner, "bad", *RELEASE, "rollback")
    finally:
        stop.set()
        watcher.join()
    assert code != 0, said[-4000:]
    results = _results(said)
    expected = {**dict.fromkeys(RELEASE, "PASS"), "verify-canary": "FAIL", "rollback": "PASS"}
    assert results == expected, (results, said[-4000:])
    assert set(place.aliases().values()) == {2}, place.aliases()
    _until(lambda: place.served() == ("ready", dict.fromkeys(STAGES, 2)), "a server that went back")


def _results(said: str) -> dict[str, str]:
    return {job: result for result, job in re.findall(r"^ *(PASS|FAIL) +(\S+)", said, flags=re.MULTILINE)}


def _skew_when_canary(place: Place, version: int, stop: Event) -> None:
    """What is wrong shows only when the release is a canary: a shadow would be stopped before."""
    while not stop.wait(0.2):
        if place.aliases()["canary"] == version:
            place.must("skew", ".venv/bin/python", "-c", SKEW, MATERIALIZED)
            return


def _change_recipe(place: Place, before: str, after: str) -> None:
    replace(place.checkout / "training" / "recipes" / "flights.toml", {before: after})
    commit(place.checkout, f"{after}, and no longer {before}")


def _pipeline(place: Place, runner: Path, name: str, *words: str) -> tuple[int, str]:
    code, said = place.run(name, str(runner), "--force-shell-executor", *words, variables={"NO_COLOR": "1"})
    return code, re.sub(r"\x1b\[[0-9;]*m", "", said)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"in {PATIENCE_SECONDS:.0f} s: not {what}"
        time.sleep(0.1)


if __name__ == "__main__":
    outcome = check()
    sys.stdout.write(f"{outcome.part}: {outcome.status}. {outcome.reason}\n{json.dumps(outcome.facts)}\n")
    sys.exit(0 if outcome.status == "passed" else 1)
