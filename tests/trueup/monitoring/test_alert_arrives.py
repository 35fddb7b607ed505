"""From a value that somebody changes in Redis to the webhook: a real server, monitor, Prometheus and Alertmanager."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from feast import FeatureStore
from feast.protos.feast.types.Value_pb2 import Value
from tests.ops.stack import ALERTMANAGER, HOW_TO_GET_THEM, PROMETHEUS, Alertmanager, Prometheus, Webhook
from tests.serving import world as worlds
from tests.serving.conftest import Live, serving
from tests.trueup.parity.stock import template

from trueup.contracts.extract import extract_contract
from trueup.models.tracking import Tracking
from trueup.monitoring.alerts import files
from trueup.monitoring.config import load_monitoring
from trueup.stores.redis_layout import value_field
from trueup_serving.app import create_app
from trueup_serving.config import load_config

PATIENCE_SECONDS = 120.0
DRIVERS = (1001, 1002, 1003, 1004, 1005)
SERVER = """
repo = "{root}/drivers/feature_repo"
tracking_uri = "{tracking}"
log_dir = "{root}/served"
allow_unverified = true
[experiment]
name = "ab"
unit = "driver_id"
salt = "s"
[[experiment.variants]]
name = "only"
model = "drivers"
weight = 1
"""
MONITORING = """
[monitor]
state = "{root}/state"
[jobs.materialize]
enabled = false
[jobs.freshness]
every = "365d"
[jobs.parity]
every = "365d"
window = "1d"
skip = ["expectations"]
[jobs.drift]
every = "365d"
window = "1d"
enabled = false
[alerts]
hold_seconds = 0
[scrape]
interval_seconds = 1
serving = ["{serving}"]
monitor = ["{monitor}"]
alertmanager = ["{alertmanager}"]
"""

pytestmark = [
    pytest.mark.skipif("TRUEUP_OPS_CHECK" not in os.environ, reason="a slow proof: make ops-check PARTS=alerting"),
    pytest.mark.skipif(
        not (shutil.which(PROMETHEUS) and shutil.which(ALERTMANAGER)),
        reason=f"{PROMETHEUS} or {ALERTMANAGER} is missing: {HOW_TO_GET_THEM}",
    ),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning", "ignore::FutureWarning"
    ),
]


@dataclass(frozen=True)
class Shop:
    """A stock Feast repository on our Redis, with a model of one of its services."""

    root: Path
    store: FeatureStore
    tracking_uri: str


@pytest.fixture
def shop(tmp_path: Path, redis_client: redis.Redis, redis_url: str) -> Shop:
    online = {"type": "trueup.stores.redis_online.RedisOnlineStore", "connection_string": redis_url}
    store = template(tmp_path, offline="dask", online=online)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    worlds.register(Tracking(uri), "drivers", extract_contract(store, "driver_activity_v1"), seed=1)
    return Shop(tmp_path, store, uri)


@contextmanager
def monitor(shop: Shop, config: Path) -> Iterator[str]:
    """host:port of a running monitor."""
    command = [sys.executable, "-m", "trueup", "monitor", "run", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(shop)) as process:
        try:
            assert process.stderr is not None
            found = next(match for line in process.stderr if (match := re.search(r"http://(\S+?)/metrics", line)))
            yield found.group(1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def environment(shop: Shop) -> dict[str, str]:
    return {
        **os.environ,
        "TRUEUP_REPO": str(shop.store.repo_path),
        "TRUEUP_LOG_DIR": str(shop.root / "served"),
        "TRUEUP_TRACKING_URI": shop.tracking_uri,
    }


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)
    return found


def ask(live: Live) -> None:
    for driver in DRIVERS:
        row = {"driver_id": driver, "val_to_add": 1, "val_to_add_2": 2}
        live.predict([row]).raise_for_status()
    live.service.log.flush()


def test_a_value_that_somebody_changes_in_redis_is_one_page_at_the_webhook(
    shop: Shop, redis_client: redis.Redis
) -> None:
    config = shop.root / "server.toml"
    config.write_text(SERVER.format(root=shop.root, tracking=shop.tracking_uri))
    app = create_app(load_config(config, env={}))
    settings = shop.root / "monitoring.toml"
    settings.write_text(MONITORING.format(root=shop.root, serving="x:1", monitor="x:1", alertmanager="x:1"))
    with serving(app, headers={}) as live, monitor(shop, settings) as monitored, Webhook() as webhook:
        ask(live)
        rules = load_monitoring(settings)
        alerts = rules.alerts.model_copy(update={"webhook": webhook.url})
        with Alertmanager(shop.root / "alertmanager", _at_once(rules.model_copy(update={"alerts": alerts}))) as manager:
            scrape = rules.scrape.model_copy(
                update={
                    "serving": (str(live.http.base_url).removeprefix("http://"),),
                    "monitor": (monitored,),
                    "alertmanager": (manager.url.removeprefix("http://"),),
                }
            )
            with _prometheus(shop, rules.model_copy(update={"scrape": scrape})) as prometheus:
                until(lambda: prometheus.query('trueup_job_last_run_timestamp_seconds{task="parity"}'), "a first run")
                until(lambda: prometheus.query("trueup_model_info"), "the server's metrics")
                assert prometheus.query('ALERTS{alertstate="firing"}') == []

                field = value_field("driver_hourly_stats", "conv_rate")
                (key,) = [key for key in redis_client.scan_iter() if _is_of(key, 1001)]
                redis_client.hset(key, field, Value(float_val=0.123).SerializeToString())
                ask(live)
                run = [sys.executable, "-m", "trueup", "monitor", "run", "parity", "--config", str(settings)]
                done = subprocess.run(run, env=environment(shop), capture_output=True, text=True, check=False)
                assert done.returncode == 1, done.stderr

                told = webhook.taken.get(timeout=PATIENCE_SECONDS)
                quiet = until(
                    lambda: [each for each in manager.get("/api/v2/alerts") if each["status"]["inhibitedBy"]],
                    "what follows from it is quiet",
                )
    assert told["status"] == "firing"
    labels = [each["labels"] for each in told["alerts"]]
    assert {each["alertname"] for each in labels} == {"TrueupUnexplainedMismatch"}
    assert {each["check"] for each in labels} <= {"online", "served"}
    assert all((each["severity"], each["component"]) == ("page", "parity") for each in labels)
    assert all("nothing explains it" in each["annotations"]["summary"] for each in told["alerts"])
    assert all(each["annotations"]["runbook_url"].endswith("#trueupunexplainedmismatch") for each in told["alerts"])
    assert {each["labels"]["alertname"] for each in quiet} == {"TrueupParityMismatch"}
    views = {each["labels"]["view"] for each in quiet}
    # What is computed of the value on request differs with it.
    assert "driver_hourly_stats" in views <= {"driver_hourly_stats", "transformed_conv_rate"}


def _is_of(key: bytes, driver: int) -> bool:
    return driver.to_bytes(8, "little") in key


def _at_once(rules: Any) -> dict[str, Any]:
    """As it is generated, but nobody waits for more of the same."""
    found: dict[str, Any] = yaml.safe_load(files.alerting_files(rules, ())[files.ALERTMANAGER])
    for route in (found["route"], *found["route"]["routes"]):
        route["group_wait"] = "1s"
    return found


def _prometheus(shop: Shop, rules: Any) -> Prometheus:
    """On the generated files, for the repository's own views."""
    from trueup.contracts.stored import stored_views

    written = files.alerting_files(rules, stored_views(shop.store, None).contract.views)
    folder = shop.root / "prometheus"
    folder.mkdir()
    (folder / "rules.yml").write_text(written[files.RULES])
    return Prometheus(folder, yaml.safe_load(written[files.PROMETHEUS]))
