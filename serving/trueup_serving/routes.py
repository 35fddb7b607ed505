"""HTTP in, HTTP out: reads a request, asks the service, writes the answer. Nothing is decided here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from trueup.frame import FeatureFrame, Status
from trueup.instants import Clock, format_instant
from trueup_serving.config import ClockName, ServingConfig
from trueup_serving.following import Current
from trueup_serving.metrics import Metrics
from trueup_serving.problems import FieldError, Problem, bad_field, documented
from trueup_serving.readiness import Ready, ready_of
from trueup_serving.request_ids import adopt, request_id_of
from trueup_serving.schemas import (
    Body,
    BodyType,
    FeaturesResponse,
    FeatureValue,
    Prediction,
    PredictResponse,
    RequestSchema,
    RowFeatures,
    check_instant,
    json_value,
)
from trueup_serving.service import Answer, RowError, ServedModel, Service

PREDICT = "/v1/predict"
FEATURES = "/v1/features"
HEALTHZ = "/healthz"
READYZ = "/readyz"
METRICS = "/metrics"
NOW_HEADER = "X-Trueup-Now"

JSON = "application/json"
_T = TypeVar("_T")
Kind = Callable[[RequestSchema], BodyType]


def router(current: Current, metrics: Metrics, config: ServingConfig, clock: Clock, executor: Executor) -> APIRouter:
    """All routes of the server. executor: where the service's work is done, so that the loop stays free.

    A request takes what is served once, when it has come whole, and ends on it whatever is swapped in meanwhile.
    """
    routes = APIRouter()
    described = {"parameters": [_NOW_PARAMETER]} if config.clock == "request" else {}
    asked_wrongly = (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )

    async def read(request: Request, kind: Kind) -> tuple[Service, Body, str, datetime]:
        text = await _read_json(request, config.limits.max_body_bytes)
        served = current.served
        body = kind(served.schema).parse(text)
        if body.request_id is not None:
            adopt(request.scope, body.request_id)
        now = _instant(request, clock, config.clock)
        return served.service, body, request_id_of(request.scope), now

    async def work(ask: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(executor, ask)

    @routes.post(
        PREDICT,
        summary="Predict for one or many entities",
        responses={200: {"model": PredictResponse}, **documented(*asked_wrongly)},
        openapi_extra=described,
    )
    async def predict(request: Request) -> Response:
        """Each row is answered by the model of the variant its unit is assigned to, and logged."""
        service, body, request_id, now = await read(request, lambda schema: schema.predict)
        arrived = time.monotonic()

        def ask() -> tuple[Answer, ...]:
            with metrics.watch() as watch:
                return _rows_named(lambda: service.predict(body.rows, request_id, now, arrived=arrived, watch=watch))

        answers = await work(ask)
        metrics.count(answers)
        return _json(
            PredictResponse(
                request_id=request_id,
                as_of=format_instant(now),
                predictions=[
                    Prediction(
                        row=row,
                        prediction=answer.prediction,
                        variant=answer.model.variant.name,
                        model=answer.model.ref[0],
                        model_version=answer.model.ref[1],
                        fallback=answer.fallback,
                    )
                    for row, answer in enumerate(answers)
                ],
            )
        )

    @routes.post(
        FEATURES,
        summary="The features of one or many entities, for debugging",
        responses={200: {"model": FeaturesResponse}, **documented(*asked_wrongly)},
        openapi_extra=described,
    )
    async def features(request: Request) -> Response:
        """What `/v1/predict` would read: values, statuses and event times. Nothing is scored or logged.

        `variant` names whose features; without it each row has those of the variant it is assigned to.
        """
        service, body, request_id, now = await read(request, lambda schema: schema.features)
        arrived = time.monotonic()
        found = await work(lambda: _rows_named(lambda: service.features(body.rows, now, body.variant, arrived=arrived)))
        return _json(
            FeaturesResponse(
                request_id=request_id,
                as_of=format_instant(now),
                rows=[_row_features(row, model, frame) for row, (model, frame) in enumerate(found)],
            )
        )

    @routes.get(HEALTHZ, summary="Whether the process answers")
    async def healthz() -> Response:
        """Always 200. Whether it could answer a prediction is `/readyz`."""
        return Response('{"status":"alive"}', media_type=JSON)

    @routes.get(
        READYZ,
        summary="Whether requests would be answered, and by what",
        responses={200: {"model": Ready}, 503: {"model": Ready}},
    )
    async def readyz() -> Response:
        """200 `ready`; 200 `degraded` (log rows are lost, an alias is not followed, or the online store is away and
        the fallback answers); 503 `unavailable` (the online store is away)."""
        ready = await work(lambda: ready_of(current, config))
        status = HTTPStatus.SERVICE_UNAVAILABLE if ready.status == "unavailable" else HTTPStatus.OK
        return Response(ready.model_dump_json(), status, media_type=JSON)

    @routes.get(METRICS, summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def scrape(request: Request) -> Response:
        """Prometheus' text format, or OpenMetrics for who asks for it."""
        text, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    return routes


_NOW_PARAMETER = {
    "name": NOW_HEADER,
    "in": "header",
    "required": True,
    "description": "The instant of the request (ISO 8601): this server replays the past.",
    "schema": {"type": "string", "format": "date-time"},
    "example": "2013-11-01T12:00:00Z",
}


def _json(body: PredictResponse | FeaturesResponse) -> Response:
    return Response(body.model_dump_json(), media_type=JSON)


async def _read_json(request: Request, most: int) -> bytes:
    """The body's bytes; Problem for another media type, a compressed body, or one longer than `most`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        got = f"got {media_type!a}" if media_type else "there is none"
        raise bad_field(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Content-Type", f"expected {JSON}, {got}"
        )
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise bad_field(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-encoding",
            "Content-Encoding",
            f"expected a body that is not compressed, got {encoding!a}",
        )
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():  # counted as it comes: Content-Length need not be there, nor be true
        size += len(chunk)
        if size > most:
            # The rest is not read, so the connection cannot be used again.
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "body-too-large",
                f"The body is longer than {most} bytes; send fewer rows at a time.",
                headers={"Connection": "close"},
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _instant(request: Request, clock: Clock, clock_name: ClockName) -> datetime:
    """When the features are read as of: the wall clock, or the request's own header in a replay."""
    headers = request.headers.getlist(NOW_HEADER)
    if clock_name == "wall":
        if headers:
            raise bad_field(
                HTTPStatus.BAD_REQUEST,
                "unexpected-instant",
                NOW_HEADER,
                'this server reads by the wall clock; a replay needs a server whose clock is "request"',
            )
        return clock()
    if len(headers) != 1:
        message = "expected one, as this server replays the past" + (", got several" if headers else "")
        raise bad_field(HTTPStatus.BAD_REQUEST, "missing-instant", NOW_HEADER, message)
    try:
        return check_instant(headers[0])
    except ValueError as error:
        raise bad_field(HTTPStatus.BAD_REQUEST, "bad-instant", NOW_HEADER, f"{error}, got {headers[0]!a}") from error


def _rows_named(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except RowError as error:
        errors = [FieldError(field=f"entities[{row}]", message=str(why)) for row, why in error.errors.items()]
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "on-demand-failed",
            "Features that are computed of the request cannot be computed of these rows.",
            errors,
        ) from error


def _row_features(row: int, model: ServedModel, frame: FeatureFrame) -> RowFeatures:
    values = frame.values.to_pylist()[0]
    statuses = frame.statuses.to_pylist()[0]
    times = frame.event_timestamps.to_pylist()[0]
    return RowFeatures(
        row=row,
        variant=model.variant.name,
        model=model.ref[0],
        model_version=model.ref[1],
        contract_hash=model.contract.hash,
        features={
            f"{view}__{feature}": FeatureValue(
                value=json_value(values[f"{view}__{feature}"]),
                status=Status(statuses[f"{view}__{feature}"]).name,
                event_time=format_instant(times[view]) if times.get(view) is not None else None,
            )
            for view, feature in model.contract.features
        },
    )
