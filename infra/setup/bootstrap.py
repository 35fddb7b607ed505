"""Makes `.venv` from `requirements.lock`, exactly, and does nothing when it is already so.

Standard library only: it runs on the machine's own python3 before anything is installed. Hashes of every
package are required. uv installs (fast, compiles byte code); where uv cannot reach what the machine's pip
can, pip does the same from the same lock.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".trueup-lock"
LOCKS = (ROOT / "infra" / "setup" / "uv.lock.txt", ROOT / "requirements.lock")
OLDEST = (3, 11)
# Of an activated environment, perhaps the very one that is about to be deleted, the interpreter behind it.
MACHINE_PYTHON = sys.executable if sys.prefix == sys.base_prefix else str(Path(sys.executable).resolve())


def main() -> int:
    if sys.version_info < OLDEST:
        return _fail(f"python3 is {sys.version.split()[0]}; trueup needs {OLDEST[0]}.{OLDEST[1]} or later.")
    wanted = _wanted()
    if STAMP.is_file() and STAMP.read_text() == wanted and PYTHON.exists():
        return 0
    _say(f"setting up {VENV.name} from {LOCKS[1].name} (once; about half a minute with a warm cache)")
    if VENV.exists():
        shutil.rmtree(VENV)
    if not _make_venv():
        return 1
    environment = {**os.environ, "UV_COMPILE_BYTECODE": "1", "VIRTUAL_ENV": str(VENV)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # start-up is twice as fast with compiled byte code
    pip = [str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    uv = [str(VENV / "bin" / "uv"), "--quiet", "pip"]
    if _run([*pip, "--require-hashes", "-r", str(LOCKS[0])], environment):
        return _fail("pip could not install uv: see its message above.")
    if _run([*uv, "install", "--require-hashes", "-r", str(LOCKS[1])], environment):
        _say("uv could not install the lock; trying the machine's pip, which may be set up differently")
        if _run([*pip, "--require-hashes", "-r", str(LOCKS[1])], environment):
            return _fail("the lock could not be installed: see the message above.")
    editable = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    if _run([*pip, *editable], environment):
        return _fail("trueup itself could not be installed: see the message above.")
    STAMP.write_text(wanted)
    return 0


def _wanted() -> str:
    """Fingerprint of all that decides what is in the environment."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (*LOCKS, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _make_venv() -> bool:
    command = [MACHINE_PYTHON, "-m", "venv", str(VENV)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return True
    # Debian ships venv in a package of its own, which a machine with only python3 and make has not got.
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        _say(f"python3 cannot make virtual environments here: installing Debian's {package}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run([apt, "update", "-qq"], environment)
        _run([apt, "install", "-y", "-qq", "--no-install-recommends", package], environment)
        shutil.rmtree(VENV, ignore_errors=True)
    if _run(command, dict(os.environ)):
        _fail("python3 -m venv does not work. On Debian and Ubuntu: sudo apt-get install python3-venv, then again.")
        return False
    return True


def _run(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, env=environment, check=False).returncode


def _say(message: str) -> None:
    print(f"trueup setup: {message}", file=sys.stderr, flush=True)


def _fail(message: str) -> int:
    _say(message)
    return 1


if __name__ == "__main__":
    sys.exit(main())
