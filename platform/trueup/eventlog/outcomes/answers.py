"""Outcomes behind an http(s) address. The only file that asks one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.auth import AuthBase

from trueup.errors import InputError, SourceError
from trueup.eventlog.outcomes.formats import MEDIA_TYPES, SUFFIXES, Format

TOKEN = "TRUEUP_OUTCOMES_TOKEN"  # noqa: S105 - the variable's name
TIMEOUT = 30.0
"""Seconds to connect, and between two pieces of an answer."""
TRIES = 4
PAUSE = 0.5
"""Seconds before the third try (the second comes at once); doubled before each one after."""
_AGAIN = (429, 500, 502, 503, 504)
_PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
"""What may pass: no connection, no answer in time, an answer that breaks off."""


@dataclass(frozen=True)
class Answer:
    """address: without what may be secret in it, for errors."""

    address: str
    content: bytes
    format: Format


def fetch(address: str, *, token: str | None = None, pause: float = PAUSE, timeout: float = TIMEOUT) -> Answer:
    """The answer of an address, which is of the format that its type says, or else the end of its path.

    token: sent as `Authorization: Bearer ...`, and to no other host that the address leads on to. Tried `TRIES` times
    where there is no answer, or one that asks to come again (429, 5xx).

    Raises SourceError for any answer but 200, and for one of no known format; InputError for what is no address.
    """
    shown = without_secrets(address)
    if token is not None and not (token.isascii() and token.isprintable()):
        raise InputError(
            TOKEN, f"{TOKEN}: it holds what no HTTP header can, such as a line break.", hint="Set it anew."
        )
    for attempt in range(TRIES):
        if attempt > 1:
            time.sleep(pause * 2 ** (attempt - 2))
        is_last = attempt == TRIES - 1
        try:
            answer = _ask(address, token, timeout)
        except (requests.RequestException, ValueError) as error:  # ValueError: an address or a token that is none
            if is_last or not isinstance(error, _PASSING):
                raise SourceError(
                    f"{shown} does not answer: {_reason(error)}.",
                    hint="Is the address right, and can it be reached from here?",
                ) from error
        else:
            if is_last or answer.status_code not in _AGAIN:
                break
    _check(answer, shown, token)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    suffix = PurePosixPath(urlsplit(answer.url).path).suffix.lower()
    found = MEDIA_TYPES.get(kind) or SUFFIXES.get(suffix)
    if found is None:
        raise SourceError(
            f"{shown} answered with {kind or 'no type'}; expected Parquet, CSV, JSON or NDJSON, named by the answer's "
            f"Content-Type or by the end of the path ({', '.join(SUFFIXES)})."
        )
    return Answer(shown, answer.content, found)


def without_secrets(address: str) -> str:
    """The address without user, password, query and fragment, which may hold keys.

    Raises InputError for what is no address.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise InputError(
            "source", f"source: it is no address: {error}.", hint="Expected one such as https://host/labels.csv."
        ) from error
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _ask(address: str, token: str | None, timeout: float) -> requests.Response:
    headers = {"Accept": ", ".join(MEDIA_TYPES)}
    return requests.get(address, headers=headers, timeout=timeout, auth=_Bearer(token) if token else None)


class _Bearer(AuthBase):
    """As `auth`, because requests would put what ~/.netrc has for the host in place of a plain header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _check(answer: requests.Response, shown: str, token: str | None) -> None:
    status = f"{answer.status_code} {answer.reason}".strip()
    match answer.status_code:
        case 200:
            return
        case 401 | 403:
            hint = f"The token in {TOKEN} may not read it." if token else f"Set {TOKEN} to a token that may read it."
            raise SourceError(f"{shown} refuses: {status}.", hint=hint)
        case 404 | 410:
            raise SourceError(f"{shown} is not there: {status}.", hint="Is the path right?")
        case code:
            tries = f" ({TRIES} times)" if code in _AGAIN else ""
            body = " ".join(answer.text[:200].split())
            raise SourceError(f"{shown} answered {status}{tries}; expected 200.{f' It says: {body}' if body else ''}")


def _reason(error: Exception) -> str:
    """The last cause of the chain that requests wraps it in, without addresses."""
    match error:
        case requests.exceptions.SSLError():
            return "its certificate is not trusted, or it speaks no TLS"
        case requests.exceptions.ConnectTimeout() | requests.exceptions.ReadTimeout():
            return "it took too long"
        case requests.exceptions.TooManyRedirects():
            return "it leads on and on"
    cause: BaseException = error
    while isinstance(inner := getattr(cause, "reason", None) or next(iter(cause.args), None), BaseException):
        cause = inner
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause).rpartition(": ")[2]
    return said.rpartition("] ")[2].rstrip(".").lower() or type(error).__name__
