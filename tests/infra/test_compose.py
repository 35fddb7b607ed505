"""docker-compose.yml: the specification's schema, and what makes a service safe and whole."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup.monitoring.config import load_monitoring

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"init"}
CORE = {"redis", "postgres", "mlflow", "init", "serving-1", "serving-2", "proxy", "jobs"}
FULL = CORE | {"prometheus", "alertmanager", "grafana"}

every_service = pytest.mark.parametrize("name", SERVICES)


def test_it_is_what_the_compose_specification_says() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_profiles_are_core_and_all_of_it() -> None:
    profiles = {
        profile: {name for name, service in SERVICES.items() if profile in service["profiles"]}
        for profile in ("core", "full")
    }
    assert profiles == {"core": CORE, "full": FULL}


@every_service
def test_a_service_is_nobody_special_on_a_root_it_cannot_write(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    ours = service["image"].startswith("trueup-")  # its image says who it is
    assert ours or re.fullmatch(r"[1-9]\d*:\d+", service["user"])


@every_service
def test_a_service_says_when_it_is_well_or_ends_by_itself(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        return
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] == "unless-stopped"
    assert "mem_limit" in service


@every_service
def test_no_secret_is_in_the_environment_or_an_argument(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|TOKEN|SECRET|KEY|URL", variable):
            assert variable.endswith(("_FILE", "__FILE")), variable
            assert str(value).startswith("/run/secrets/")
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


@every_service
def test_it_waits_for_what_it_needs_and_for_nothing_of_another_profile(name: str) -> None:
    service = SERVICES[name]
    for other, wanted in service.get("depends_on", {}).items():
        assert set(service["profiles"]) <= set(SERVICES[other]["profiles"])
        done = other in ONE_SHOT
        assert wanted["condition"] == ("service_completed_successfully" if done else "service_healthy")


@every_service
def test_what_is_kept_is_in_a_named_volume_and_files_of_the_checkout_are_only_read(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source, _, mode = volume.split(":", 2)[0], volume.split(":")[1], volume.split(":")[-1]
        if source.startswith("./"):
            assert mode == "ro", volume
            assert (ROOT / source).exists(), volume
        else:
            assert source in COMPOSE["volumes"], volume


def test_every_volume_secret_and_network_is_used() -> None:
    volumes = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {name for name in volumes if not name.startswith("./")} == set(COMPOSE["volumes"])
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == set(COMPOSE["secrets"])
    assert {name for service in SERVICES.values() for name in service["networks"]} == set(COMPOSE["networks"])


def test_only_the_proxy_and_grafana_can_be_reached_and_from_this_host_alone() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"proxy", "grafana"}
    assert all(port.startswith("127.0.0.1:") for each in ports.values() for port in each)
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_our_own_images_are_built_and_never_asked_of_a_registry() -> None:
    for name, service in SERVICES.items():
        if service["image"].startswith("trueup-"):
            assert service["build"]["target"] == service["image"].split(":")[0].removeprefix("trueup-"), name


def test_what_runs_once_is_waited_for_by_what_goes_on_running() -> None:
    """Or `up --wait` would take its end for a failure."""
    for name in ONE_SHOT:
        assert any(name in service.get("depends_on", {}) for service in SERVICES.values())


def test_no_image_is_latest_but_our_own() -> None:
    for name, service in SERVICES.items():
        image = service["image"]
        if not image.startswith("trueup-"):
            assert re.search(r":v?\d+(\.\d+)*\S*\$\{\w+_DIGEST:-\}$", image), (name, image)


def test_prometheus_scrapes_the_services_there_are() -> None:
    scrape = load_monitoring(ROOT / "infra" / "monitoring.toml").scrape
    hosts = {target.split(":")[0] for each in (scrape.serving, scrape.monitor, scrape.alertmanager) for target in each}
    assert hosts == {"serving-1", "serving-2", "jobs", "alertmanager"} <= set(SERVICES)


def test_a_stop_leaves_the_jobs_and_the_log_their_time() -> None:
    settings = load_monitoring(ROOT / "infra" / "monitoring.toml")
    grace = {name: int(SERVICES[name]["stop_grace_period"].removesuffix("s")) for name in ("jobs", "serving-1")}
    assert grace["jobs"] >= settings.monitor.stop_seconds + 10
    assert grace["serving-1"] > 30  # server.stop_seconds


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is missing: apt-get install haproxy")
def test_the_proxys_settings_are_accepted() -> None:
    command = ["haproxy", "-c", "-f", str(ROOT / "infra" / "docker" / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_redis_of_its_command_asks_for_the_secrets_password(tmp_path: Path) -> None:
    """The very command, on the server binary of this machine."""
    import redis

    from trueup.stores.local_redis import server_binary

    (tmp_path / "password").write_text("hunter2")
    command = SERVICES["redis"]["command"][2].replace("$$", "$")
    command = command.replace("/run/secrets/redis_password", str(tmp_path / "password")).replace("/data", str(tmp_path))
    command = command.replace("redis-server", str(server_binary()), 1)
    socket = tmp_path / "s"
    with subprocess.Popen(["sh", "-c", f"{command} --port 0 --unixsocket {socket}"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            next(line for line in process.stdout if b"eady to accept connections" in line)
            with redis.Redis(unix_socket_path=str(socket), password="hunter2") as client:
                assert client.ping()
                assert client.config_get("appendonly", "maxmemory-policy", "maxmemory") == {
                    "appendonly": "yes",
                    "maxmemory-policy": "noeviction",
                    "maxmemory": str(1024**3),
                }
            with redis.Redis(unix_socket_path=str(socket)) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            assert "hunter2" not in Path(f"/proc/{process.pid}/cmdline").read_text()
        finally:
            process.terminate()


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    folder = tmp_path / "infra" / "docker"
    folder.mkdir(parents=True)
    script = folder / "secrets.sh"
    shutil.copy(ROOT / "infra" / "docker" / "secrets.sh", script)
    made = []
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
        made.append({path.stem: path.read_text() for path in (tmp_path / "infra" / "secrets").iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == set(COMPOSE["secrets"])
    assert made[0]["redis_password"] in made[0]["redis_url"]
    assert len(set(made[0].values())) == len(made[0])
    assert (
        subprocess.run(
            ["git", "check-ignore", "infra/secrets/x"], cwd=ROOT, capture_output=True, check=False
        ).returncode
        == 0
    )
