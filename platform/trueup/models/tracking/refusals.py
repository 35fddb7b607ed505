"""What MLflow raises when its store does not answer, or not as asked, as one error for a person."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import requests
import urllib3.exceptions as broken

from trueup.errors import ModelError
from trueup.models.store_uri import is_server, masked
from trueup.models.tracking.quiet import quiet

with quiet():
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
    from mlflow.exceptions import MlflowException

_IS_IT_UP = "Start the server, or name another store with TRUEUP_TRACKING_URI or --tracking-uri."
_LOG_IN = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
_PERMISSION = "Ask for it, or log in as somebody else (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)."
_HOST_NAME = "Start `mlflow server` with --allowed-hosts that has the name in this address."
_CERTIFICATE = "Name its authority's certificate in MLFLOW_TRACKING_SERVER_CERT_PATH, or use http:// if it speaks that."
_NO_API = "The address is the one of `mlflow server` itself; a login page or another program answers here."
_LONGEST = 300
"""Characters of what a server said that are repeated."""
_STATUS = {"UNAUTHENTICATED": 401, "CUSTOMER_UNAUTHORIZED": 401, "PERMISSION_DENIED": 403, "ENDPOINT_NOT_FOUND": 404}


def refusal(uri: str, error: BaseException) -> ModelError:
    """The error for what MLflow, or the file system or network under it, raised of a store. No credentials in it."""
    said, hint = _reason(error) if is_server(uri) else (None, None)
    if said is None:
        said = _first_line(str(error))
    return ModelError(f"tracking store {masked(uri)}: {masked(said)}", hint=hint)


def is_refusal(error: BaseException) -> bool:
    """Whether a server gave no answer or refused one, which is another thing than what it says is not there."""
    for each in _chain(error):
        if isinstance(each, requests.RequestException):
            return each.response is None or each.response.status_code != 404
        if isinstance(each, MlflowException) and each.error_code in _STATUS:
            return True
    return False


def _reason(error: BaseException) -> tuple[str | None, str | None]:
    """What happened between a server and us, and what to do; None for what the server itself has to say."""
    status = 0
    for each in _chain(error):
        match each:
            case socket.gaierror() | broken.NameResolutionError():
                return "there is no host of this name.", _IS_IT_UP
            case ConnectionRefusedError():
                return "nothing listens there (connection refused).", _IS_IT_UP
            case broken.SSLError() | requests.exceptions.SSLError():
                return f"no safe connection: {_first_line(str(each))}", _CERTIFICATE
            case ConnectionError() | broken.ProtocolError() | broken.NewConnectionError() | broken.ProxyError():
                return f"no connection, or it broke off: {_first_line(str(each))}", _IS_IT_UP
            case broken.TimeoutError() | requests.exceptions.Timeout():
                seconds = MLFLOW_HTTP_REQUEST_TIMEOUT.get()  # type: ignore[no-untyped-call]
                return f"no answer within {seconds} s (MLFLOW_HTTP_REQUEST_TIMEOUT).", _IS_IT_UP
            case broken.ResponseError():
                return f"the server fails: {each}.", "Its own log says why."
            case requests.HTTPError() if each.response is not None:
                status = each.response.status_code
            case MlflowException():
                status = status or _STATUS.get(each.error_code, 0)
    return _answered(status, str(error))


def _answered(status: int, text: str) -> tuple[str | None, str | None]:
    if status == 401:
        return "the server wants to know who asks, and does not accept what it was told (401).", _LOG_IN
    if status == 403 and "host header" in text.lower():
        return "the server does not take requests under this name (403).", _HOST_NAME
    if status == 403:
        return f"the server does not permit this (403): {_first_line(text)}", _PERMISSION
    if status == 404 or "not in a valid JSON format" in text:
        return "what answers there is no MLflow server.", _NO_API
    return None, None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came of, the innermost first: it knows most."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return reversed(found)


def _first_line(text: str) -> str:
    """Without MLflow's list of failed files and a page's markup."""
    lines = [line for line in re.sub(r"<[^>]*>", " ", text).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("The following failures", "##### File"))]
    line = " ".join(lines[0].split()) if lines else "no reason given"
    return line.rstrip(".") + "." if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
