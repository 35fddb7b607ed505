"""The app: routes, errors, metrics and documentation around one service."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from trueup.instants import Clock, utc_now
from trueup_serving.config import ServingConfig
from trueup_serving.loading import load_service
from trueup_serving.metrics import Measured, Metrics
from trueup_serving.problems import FieldError, Guarded, ProblemBody, add_handlers
from trueup_serving.routes import FEATURES, HEALTHZ, METRICS, PREDICT, READYZ, router
from trueup_serving.schemas import REFS, RequestSchema
from trueup_serving.service import Service

_ROUTES = frozenset({PREDICT, FEATURES, HEALTHZ, READYZ, METRICS, "/docs", "/openapi.json"})
_TITLE = "trueup"


def create_app(config: ServingConfig) -> FastAPI:
    """The server these settings describe. Raises what `load_service` raises."""
    return app_of(load_service(config), config)


def app_of(service: Service, config: ServingConfig, *, clock: Clock = utc_now) -> FastAPI:
    """An app around a service. Starting it starts the service's log; stopping it writes the log to its end."""
    schema = RequestSchema(
        (model.contract for model in service.models.values()),
        service.design.unit,
        service.models,
        config.limits.max_rows,
    )
    metrics = Metrics(service)
    # One thread: two would only take turns at Python's lock (measured in serving/README.md). It keeps the loop
    # free, so that health is answered while the online store is not.
    executor = ThreadPoolExecutor(1, thread_name_prefix="trueup-service")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.log.start()
        gc.collect()
        gc.freeze()  # what was loaded stays: full collections need not walk it again
        try:
            yield
        finally:
            executor.shutdown()
            service.log.close()
            gc.unfreeze()  # or what was frozen would be reported as leaked when the process ends

    app = FastAPI(title=_TITLE, version=version("trueup"), lifespan=lifespan, redirect_slashes=False, redoc_url=None)
    app.include_router(router(service, schema, metrics, config.limits, clock, config.clock, executor))
    app.add_middleware(Guarded)
    app.add_middleware(Measured, metrics=metrics, routes=_ROUTES)
    add_handlers(app)
    app.openapi = lambda: _openapi(app, schema)  # type: ignore[method-assign] # FastAPI's documented way
    app.state.service = service
    return app


def _openapi(app: FastAPI, schema: RequestSchema) -> dict[str, Any]:
    """FastAPI's description, with the bodies it cannot know: they are made of the served models' contracts."""
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = described.setdefault("components", {}).setdefault("schemas", {})
        for model in (ProblemBody, FieldError):
            components[model.__name__] = model.model_json_schema(ref_template=REFS)
            components[model.__name__].pop("$defs", None)
        for kind in (schema.predict, schema.features):
            body = kind.json_schema()
            components |= body.pop("$defs", {})
            components[kind.name] = body
        app.openapi_schema = described
    return app.openapi_schema
