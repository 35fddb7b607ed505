"""What a dashboard shows, as values. Pure; `render.py` makes Grafana's JSON of it.

PromQL in here uses Grafana's variables: `$__rate_interval`, and `$experiment`, `$service`, `$view` where a dashboard
has them (`All` stands for `.*`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "stacked", "number", "table"]
Unit = Literal["s", "percentunit", "short", "reqps", "none", "dateTimeAsIso"]
LOW, HIGH = ": low", ": high"
"""Ends of the names of an interval's two series: they are drawn as thin dashes, and stand in no legend."""


@dataclass(frozen=True)
class Query:
    """legend: Grafana's template for a series' name; of a table, the title of the value's column, which is not shown
    without one. unit, limit, below: of that column alone, as a panel has them for all."""

    expr: str
    legend: str = ""
    unit: Unit | None = None
    limit: float | None = None
    below: bool = False


@dataclass(frozen=True)
class Link:
    """What a click leads to: a dashboard, by its uid, at the same time and with the same choices.

    label: of what was clicked on, which is the choice there of the variable of that name.
    """

    board: str
    title: str
    label: str | None = None


@dataclass(frozen=True)
class Panel:
    """help: how it is to be read. width: of 24 columns. limit: a line that should not be crossed, red from there on;
    `below` says that it is red under it. labels: of a table, the columns that are shown, in order; several queries are
    joined by them."""

    title: str
    help: str
    queries: Sequence[Query]
    kind: Kind = "lines"
    unit: Unit = "short"
    width: int = 12
    limit: float | None = None
    below: bool = False
    labels: Sequence[str] = ()
    link: Link | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice on top of the dashboard. metric: whose label it is."""

    name: str
    metric: str


@dataclass(frozen=True)
class Board:
    """uid: stable, links go by it. since: the time that is shown at first."""

    uid: str
    title: str
    help: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    since: str = "now-6h"
