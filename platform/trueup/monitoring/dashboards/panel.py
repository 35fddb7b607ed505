"""What a dashboard shows, as values; and Grafana's JSON of it, by Grafana's own SDK. Pure.

PromQL in here uses Grafana's variables: `$__rate_interval`, and `$experiment`, `$service`, `$view` where a dashboard
has them (`All` stands for `.*`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Kind = Literal["lines", "stacked", "number", "table"]
Unit = Literal["s", "percentunit", "short", "reqps", "none", "dateTimeFromNow"]
TAG = "trueup"
_COLUMNS = 24
_HEIGHT = {"lines": 8, "stacked": 8, "table": 8, "number": 4}


@dataclass(frozen=True)
class Query:
    """legend: Grafana's template for a series' name."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """help: how it is to be read. width: of 24 columns. limit: a line that should not be crossed, red from there on;
    `below` says that it is red under it. labels: of a table, the columns that are shown, in order."""

    title: str
    help: str
    queries: Sequence[Query]
    kind: Kind = "lines"
    unit: Unit = "short"
    width: int = 12
    limit: float | None = None
    below: bool = False
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice on top of the dashboard. query: the metric whose label it is."""

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


def to_json(board: Board) -> str:
    """The same bytes for the same board."""
    built = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.help)
        .tags([TAG])
        .editable()
        .timezone("utc")
        .time(board.since, "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(builders.DashboardLink("trueup").type(models.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(False))
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .annotation(_swaps())
    )
    for variable in board.variables:
        built.with_variable(
            builders.QueryVariable(variable.name)
            .label(variable.name.capitalize())
            .datasource(_source())
            .query(f"label_values({variable.metric}, {variable.name})")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")
            .multi(True)
            .current(models.VariableOption(text="All", value="$__all"))
        )
    number = 0
    for row in board.rows:
        number += 1
        built.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            built.with_panel(_panel(panel).id(number))
    board_json: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(built.build()))
    for found in board_json["templating"]["list"]:
        for name in (
            "auto",
            "auto_count",
            "auto_min",
        ):  # of another kind of variable; Grafana's schema refuses them here
            found.pop(name)
    for found in board_json["annotations"]["list"]:
        found["target"] = {"refId": "Anno", "expr": found.pop("expr")}  # where Grafana's Prometheus looks for it
    return json.dumps(board_json, indent=2, sort_keys=True) + "\n"


def _panel(panel: Panel) -> Any:
    kinds = {"lines": timeseries.Panel, "stacked": timeseries.Panel, "number": stat.Panel, "table": table.Panel}
    built: Any = (
        kinds[panel.kind]()
        .title(panel.title)
        .description(panel.help)
        .datasource(_source())
        .unit(panel.unit)
        .span(panel.width)
        .height(_HEIGHT[panel.kind])
    )
    for at, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + at)).datasource(_source())
        if query.legend:
            target.legend_format(query.legend)
        if panel.kind == "table":
            target.instant().format(PromQueryFormat.TABLE)
        elif panel.kind == "number":
            target.instant()
        built.with_target(target)
    if panel.limit is not None:
        built.thresholds(_limit(panel.limit, below=panel.below))
    match panel.kind:
        case "lines" | "stacked":
            built.min(0) if panel.unit == "percentunit" else None
            built.legend(
                common_builders.VizLegendOptions()
                .show_legend(True)
                .display_mode(common.LegendDisplayMode.LIST)
                .placement(common.LegendPlacement.BOTTOM)
            )
            if panel.kind == "stacked":
                built.fill_opacity(40).stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
            elif panel.limit is not None:
                style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE)
                built.thresholds_style(style)
        case "table":
            built.transformations(_columns(panel.labels))
    return built


def _columns(labels: Sequence[str]) -> list[Any]:
    """One row a series: these labels and the value, in this order."""
    order = {name: at for at, name in enumerate((*labels, "Value"))}
    hidden = dict.fromkeys(("Time", "__name__", "instance", "job"), True)
    return [
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {name: True for name in hidden if name not in labels},
                "indexByName": order,
                "renameByName": {},
            },
        )
    ]


def _limit(value: float, *, below: bool) -> Any:
    red, green = ("green", "red") if below else ("red", "green")
    return (
        builders.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(color=green, value=None), models.Threshold(color=red, value=value)])
    )


def _source() -> Any:
    """The data source that is chosen on top."""
    return models.DataSourceRef(type_val="prometheus", uid="${datasource}")


def _swaps() -> Any:
    """A line where a server took another version of a model."""
    return (
        builders.AnnotationQuery()
        .name("Model swaps")
        .datasource(_source())
        .enable(True)
        .icon_color("purple")
        .expr("sum by (instance) (changes(trueup_model_swaps_total[1m])) > 0")
    )
