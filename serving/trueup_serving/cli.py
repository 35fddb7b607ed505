"""`trueup serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from trueup_serving.config import ServerConfig

DEFAULT_CONFIG = Path("serving/serving.toml")


def add_commands(app: typer.Typer) -> None:
    """Adds `serve` to the `trueup` command."""
    app.command()(serve)


def serve(
    config: Annotated[Path, typer.Option(help="The server's settings (TOML).")] = DEFAULT_CONFIG,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    uds: Annotated[Path | None, typer.Option(help="Listen on this unix socket instead.")] = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Serve models the gate did not allow; for development.")
    ] = False,
) -> None:
    """Serve the experiment's models over HTTP until SIGTERM or SIGINT; then the log is written to its end.

    Example: trueup serve --config serving/serving.toml --port 8080
    """
    import os

    # One thread for each prediction: with more, the threads wait for each other (p99 of 2 ms becomes 360 ms).
    # Read when scikit-learn is loaded, so it must be set before; a value that is set already wins.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from trueup_serving.app import create_app
    from trueup_serving.config import load_config

    server: dict[str, Any] = {"host": host, "port": port, "uds": uds}
    given = {name: value for name, value in server.items() if value is not None}
    overrides: dict[str, Any] = {"server": given} if given else {}
    if allow_unverified:
        overrides["allow_unverified"] = True
    settings = load_config(config, overrides)
    app = create_app(settings)
    app.state.service.log.start()  # a log that cannot be written is an error here, and a traceback in the app
    run(app, settings.server)


def run(app: FastAPI, config: ServerConfig) -> None:
    """Serves until told to stop. Returns after a graceful stop, so that the process exits with 0."""
    import signal

    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            uds=str(config.uds) if config.uds is not None else None,
            lifespan="on",
            access_log=False,  # /metrics counts, the log has every row
            server_header=False,
            timeout_graceful_shutdown=config.stop_seconds,
        )
    )
    # uvicorn stops gracefully and then raises the signal again, under the handler it found.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    server.run()
    if not server.started:
        raise typer.Exit(1)
