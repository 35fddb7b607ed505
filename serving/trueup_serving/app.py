"""The app: routes, errors, metrics and documentation around one service."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from trueup.instants import Clock, utc_now
from trueup_serving.config import SERVICE_THREADS, ServingConfig
from trueup_serving.following import Current, Follower, Served
from trueup_serving.loading import Loader
from trueup_serving.metrics import Metrics
from trueup_serving.metrics.middleware import Measured
from trueup_serving.overload import Limited
from trueup_serving.problems import FieldError, Guarded, ProblemBody, add_handlers
from trueup_serving.routes import FEATURES, HEALTHZ, JSON, METRICS, PREDICT, READYZ, router
from trueup_serving.schemas import REFS, RequestSchema
from trueup_serving.service import Service

_ROUTES = frozenset({PREDICT, FEATURES, HEALTHZ, READYZ, METRICS, "/docs", "/openapi.json"})
_TITLE = "trueup"


def create_app(config: ServingConfig) -> FastAPI:
    """The server these settings describe. Raises what `Loader` and its `load` raise."""
    loader = Loader(config)
    return app_of(loader.load(), config, loader=loader)


def app_of(service: Service, config: ServingConfig, *, loader: Loader | None = None, clock: Clock = utc_now) -> FastAPI:
    """An app around a service. Starting it starts the service's log; stopping it writes the log to its end.

    loader: where the versions come from that aliases move to; None: they are not followed.
    """
    current = Current(Served.of(service, config.limits.max_rows))
    metrics = Metrics(current, config.version())
    # It keeps the loop free, so that health is answered while the online store is not.
    executor = ThreadPoolExecutor(SERVICE_THREADS, thread_name_prefix="trueup-service")
    poll = config.alias_poll_seconds
    follower = Follower(loader, current, config.limits.max_rows, poll) if loader is not None and poll else None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.log.start()
        gc.collect()
        gc.freeze()  # what was loaded stays: full collections need not walk it again
        if follower is not None:
            follower.start()
        try:
            yield
        finally:
            if follower is not None:
                await asyncio.get_running_loop().run_in_executor(None, follower.stop)
            executor.shutdown()
            service.log.close()
            gc.unfreeze()  # or what was frozen would be reported as leaked when the process ends

    app = FastAPI(title=_TITLE, version=version("trueup"), lifespan=lifespan, redirect_slashes=False, redoc_url=None)
    app.include_router(router(current, metrics, config, clock, executor))
    app.add_middleware(Limited, most=config.limits.concurrency, routes=frozenset({PREDICT, FEATURES}), metrics=metrics)
    app.add_middleware(Guarded)
    app.add_middleware(Measured, metrics=metrics, routes=_ROUTES)
    add_handlers(app)
    app.openapi = lambda: _openapi(app, current.served.schema)  # type: ignore[method-assign] # FastAPI's documented way
    app.state.service = service
    app.state.current = current
    return app


def _openapi(app: FastAPI, schema: RequestSchema) -> dict[str, Any]:
    """FastAPI's description, with the bodies it cannot know: they are made of the served models' contracts."""
    described = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = described.setdefault("components", {}).setdefault("schemas", {})
    for model in (ProblemBody, FieldError):
        components[model.__name__] = model.model_json_schema(ref_template=REFS)
        components[model.__name__].pop("$defs", None)
    for route, kind in ((PREDICT, schema.predict), (FEATURES, schema.features)):
        body = kind.json_schema()
        components |= body.pop("$defs", {})
        components[kind.name] = body
        content = {"schema": {"$ref": REFS.format(model=kind.name)}, "example": schema.example}
        described["paths"][route]["post"]["requestBody"] = {"required": True, "content": {JSON: content}}
    return described
