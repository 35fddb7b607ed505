"""Every answer has a request id: the caller's, where its body brought a valid one, else a new one."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

HEADER = "X-Request-Id"
PATTERN = r"^[!-~]{1,128}$"
"""1 to 128 printable ASCII characters without spaces: it goes into a header and a log."""

_KEY = "trueup.request_id"


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """The id of the request of an ASGI scope; made at the first call."""
    request_id: str = scope.setdefault(_KEY, "") or str(uuid4())
    scope[_KEY] = request_id
    return request_id


def adopt(scope: MutableMapping[str, Any], request_id: str) -> None:
    """From now on the request goes by the id its caller gave it."""
    scope[_KEY] = request_id
