"""A git repository with DVC and two versions of a tracked folder of snapshots; and an S3 that is real HTTP."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.trueup.datasets.examples import kept, training_set

from trueup.datasets.snapshot import Snapshot

BIN = Path(sys.executable).parent
S3_KEYS = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_DEFAULT_REGION": "us-east-1"}


def dvc_environment(own: Path) -> dict[str, str]:
    """Variables under which DVC reads and writes nothing of the machine's: no global configuration, no shared state."""
    return {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(own / "site-cache"),
        "DVC_GLOBAL_CONFIG_DIR": str(own / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(own / "system"),
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
    }


def run(folder: Path, *command: str, code: int = 0, variables: Mapping[str, str] | None = None) -> str:
    """Runs a command in a folder and gives what it printed, both streams; its exit code is checked."""
    done = subprocess.run(
        list(command), cwd=folder, env={**os.environ, **(variables or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def commit(folder: Path, message: str) -> str:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", message)
    return run(folder, "git", "rev-parse", "HEAD").strip()


@dataclass(frozen=True)
class World:
    """repo: tracks `kept/` and has neither snapshot in it nor in its cache; both were pushed to `remote`.

    older, newer: the snapshots as they were built, each the only one of its commit.
    """

    repo: Path
    remote: Path
    older: Snapshot
    newer: Snapshot
    older_commit: str
    newer_commit: str

    def fetch(self) -> None:
        """Both versions into the cache. (DVC's --all-commits takes a relative remote of a commit from the root.)"""
        for each in (self.older_commit, self.newer_commit):
            run(self.repo, "git", "checkout", "-qf", each)
            run(self.repo, "dvc", "fetch", "-q")

    def push(self) -> None:
        """Both versions from the cache to the default remote."""
        for each in (self.older_commit, self.newer_commit):
            run(self.repo, "git", "checkout", "-qf", each)
            run(self.repo, "dvc", "push", "-q")

    def forget(self) -> None:
        """As on another machine: no cache."""
        shutil.rmtree(self.repo / ".dvc" / "cache", ignore_errors=True)


def make_world(folder: Path) -> World:
    """Needs the variables of `dvc_environment` set."""
    repo, remote = folder / "repo", folder / "remote"
    repo.mkdir(parents=True)
    run(repo, "git", "init", "-q", "-b", "main")
    run(repo, "dvc", "init", "-q")
    run(repo, "dvc", "remote", "add", "-q", "-d", "here", "../remote")
    older, newer = (kept(folder / name, training_set(seed)) for seed, name in enumerate(("older", "newer")))
    commits = []
    for built in (older, newer):
        shutil.rmtree(repo / "kept", ignore_errors=True)
        shutil.copytree(built.folder, repo / "kept" / "buyers" / built.id)
        run(repo, "dvc", "add", "-q", "kept")
        commits.append(commit(repo, built.id))
        run(repo, "dvc", "push", "-q")
    shutil.rmtree(repo / "kept")
    world = World(repo, remote, older, newer, *commits)
    world.forget()
    return world


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """The address of an S3 on this machine with an empty bucket. Who asks it needs `S3_KEYS`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        boto3.client(
            "s3",
            endpoint_url=address,
            region_name=S3_KEYS["AWS_DEFAULT_REGION"],
            aws_access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"],
        ).create_bucket(Bucket=bucket)
        yield address
    finally:
        server.stop()


def use_s3(repo: Path, address: str, bucket: str) -> None:
    """As a user does: in .dvc/config.local, which is in no commit."""
    run(repo, "dvc", "remote", "add", "-q", "--local", "-d", "s3", f"s3://{bucket}/trueup")
    run(repo, "dvc", "remote", "modify", "-q", "--local", "s3", "endpointurl", address)
