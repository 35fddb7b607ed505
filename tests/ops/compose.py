"""docker-compose.yml and the Dockerfile by the tools that read them."""

from __future__ import annotations

from tests.ops.outcome import Outcome, missing
from tests.ops.pytests import passed


def check() -> Outcome:
    if missing("haproxy"):
        return Outcome("compose", "skipped", "haproxy missing: apt-get install --no-install-recommends haproxy")
    shown = "the compose schema, hadolint, haproxy, and the Redis of its command with a password take them"
    return passed("compose", "tests/infra", shown)
