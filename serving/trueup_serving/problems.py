"""Errors as HTTP answers: RFC 9457 `application/problem+json`, with the fields at fault.

{"type": "urn:problem-type:trueup:invalid-fields", "title": ..., "status": 422, "detail": ...,
 "request_id": ..., "errors": [{"field": "entities[0].tailnum", "message": ...}]}
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueup.errors import InputError, StoreError
from trueup_serving.request_ids import HEADER, request_id_of

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:trueup:"
MOST_ERRORS = 100
"""Errors listed in one answer; the detail says how many there are."""


class FieldError(BaseModel):
    """One thing wrong with a request. `field` is a path such as `entities[2].tailnum`, or a header's name."""

    field: str
    message: str


class ProblemBody(BaseModel):
    """An RFC 9457 problem. `type` is stable: programs may branch on it; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] = Field(default_factory=list)


class Problem(Exception):  # noqa: N818 - RFC 9457's name
    """An answer other than the asked one. kind: the end of its `type`."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def bad_field(status: HTTPStatus, kind: str, field: str, message: str) -> Problem:
    """A problem with one field."""
    return Problem(status, kind, f"{field}: {message}", [FieldError(field=field, message=message)])


def bad_fields(errors: Sequence[FieldError]) -> Problem:
    """A body that is JSON, but not what was asked for."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first.field}: {first.message}{more}"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-fields", detail, errors[:MOST_ERRORS])


def answer(request: Request, problem: Problem) -> Response:
    """The problem as a response."""
    request_id = request_id_of(request.scope)
    body = ProblemBody(
        type=f"{TYPE_PREFIX}{problem.kind}",
        title=problem.status.phrase,
        status=problem.status,
        detail=problem.detail,
        request_id=request_id,
        errors=list(problem.errors),
    )
    return Response(body.model_dump_json(), problem.status, {**problem.headers, HEADER: request_id}, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Every error of the app leaves as a problem."""
    handlers: dict[type[Exception], Any] = {
        Problem: _problem,
        InputError: _input_error,
        StoreError: _store_error,
        HTTPException: _http_exception,
        ClientDisconnect: _disconnected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for its OpenAPI description."""
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    return {
        int(status): {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


async def _problem(request: Request, problem: Problem) -> Response:
    return answer(request, problem)


async def _input_error(request: Request, error: InputError) -> Response:
    return answer(request, bad_fields([FieldError(field=error.field, message=str(error))]))


async def _store_error(request: Request, error: StoreError) -> Response:
    # The client learns that it may try again; where the store stands is the operator's business.
    logger.error("request %s: %s", request_id_of(request.scope), error)
    detail = "The online store cannot be read now, so there are no features to predict from. Try again."
    return answer(
        request,
        Problem(HTTPStatus.SERVICE_UNAVAILABLE, "online-store-unavailable", detail, headers={"Retry-After": "1"}),
    )


async def _http_exception(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    place = f"{request.method} {json.dumps(request.url.path)}"
    detail = {
        HTTPStatus.NOT_FOUND: f"There is no {place} here; /docs lists what there is.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{place} is not allowed; expected {(error.headers or {}).get('Allow', '')}.",
    }.get(status, str(error.detail))
    return answer(request, Problem(status, status.name.lower().replace("_", "-"), detail, headers=error.headers))


async def _disconnected(request: Request, _error: ClientDisconnect) -> Response:
    detail = "The client hung up before its request was whole."
    return answer(request, Problem(HTTPStatus.BAD_REQUEST, "incomplete-body", detail))


class Guarded:
    """ASGI middleware: a defect of the server is answered as a problem too, and its connection lives on.

    Starlette's own handler of `Exception` raises it again after answering, and uvicorn then drops the connection
    under a client that may be sending its next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if started:
                raise
            logger.error("request %s failed", request_id_of(scope), exc_info=error)
            detail = "This is a defect of the server, not of the request. Its log says more under the request id."
            problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "defect", detail)
            await answer(Request(scope), problem)(scope, receive, send)
