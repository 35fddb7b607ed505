"""MLflow imported without its remarks: import this before anything of MLflow's."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Before MLflow is imported, which reads them then. A value that is set already wins.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# With a server MLflow prints the addresses of runs to standard output, where `--json` goes, credentials and all.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow's own values (120 s, 7 times, 2 s doubled each time) keep a person waiting for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the two warnings MLflow 3.17 gives about its own code when its parts are first imported, and, afterwards,
    without its remarks (new tables, new version made): they are not for our users."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*Any type hint is inferred as AnyType", UserWarning)
        warnings.filterwarnings("ignore", r"The ``noload`` loader strategy is deprecated", DeprecationWarning)
        yield
    # Not before: MLflow sets its own level when it is imported.
    logging.getLogger("mlflow").setLevel(os.environ.get("MLFLOW_LOGGING_LEVEL", "ERROR"))
    # It warns of every retry; what came of them is told once.
    retries = logging.getLogger("urllib3.connectionpool")
    if retries.level == logging.NOTSET:
        retries.setLevel(logging.ERROR)
