"""Every query of the generated dashboards, as Prometheus is asked it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$experiment": ".*", "$service": ".*", "$view": ".*"}


@dataclass(frozen=True)
class Asked:
    """board, panel: where it is from. legend: Grafana's template. labels: of a table, the columns that are shown."""

    board: str
    panel: str
    expr: str
    legend: str = ""
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> frozenset[str]:
        """Labels that each of its series should have, so that what is drawn has its name."""
        return frozenset({*re.findall(r"{{(\w+)}}", self.legend), *self.labels})


@dataclass(frozen=True)
class Choice:
    """A variable: the values of the label of a metric."""

    board: str
    metric: str
    label: str


def queries(files: Mapping[str, str]) -> Iterator[Asked]:
    """Of the panels. files: path -> text, as `grafana_files` has them."""
    for board in _boards(files):
        for panel in board["panels"]:
            labels: tuple[str, ...] = ()
            for step in panel.get("transformations", ()):
                if step["id"] == "organize":
                    labels = tuple(name for name in step["options"]["indexByName"] if not name.startswith("Value"))
            for target in panel.get("targets", ()):
                legend = target.get("legendFormat", "")
                yield Asked(board["title"], panel["title"], filled(target["expr"]), legend, labels)


def annotations(files: Mapping[str, str]) -> Iterator[Asked]:
    """What marks moments: it may be empty."""
    for board in _boards(files):
        for each in board["annotations"]["list"]:
            yield Asked(board["title"], each["name"], filled(each["target"]["expr"]))


def choices(files: Mapping[str, str]) -> Iterator[Choice]:
    for board in _boards(files):
        for each in board["templating"]["list"]:
            if each["type"] == "query":
                found = re.fullmatch(r"label_values\((\w+), (\w+)\)", each["query"])
                assert found is not None, each
                yield Choice(board["title"], *found.groups())


def _boards(files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for path, text in files.items():
        if path.endswith(".json"):
            yield json.loads(text)


def filled(expr: str) -> str:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in re.sub(r"\$\d", "", expr), expr
    return expr
