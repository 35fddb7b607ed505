"""Every query of the generated dashboards, as Prometheus is asked it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$experiment": ".*", "$service": ".*", "$view": ".*"}


@dataclass(frozen=True)
class Asked:
    """board, panel: where it is from."""

    board: str
    panel: str
    expr: str


def queries(files: Mapping[str, str]) -> Iterator[Asked]:
    """files: path -> text, as `grafana_files` has them."""
    for path, text in files.items():
        if not path.endswith(".json"):
            continue
        board = json.loads(text)
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Asked(board["title"], panel["title"], filled(target["expr"]))


def filled(expr: str) -> str:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in re.sub(r"\$\d", "", expr), expr
    return expr
