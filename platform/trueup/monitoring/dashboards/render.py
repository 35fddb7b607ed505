"""Grafana's JSON of a dashboard, by Grafana's own SDK. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from trueup.monitoring.dashboards.panel import HIGH, LOW, Board, Link, Panel, Query, Variable

TAG = "trueup"
_HEIGHT = {"lines": 8, "stacked": 8, "table": 8, "number": 4}
_KINDS = {"lines": timeseries.Panel, "stacked": timeseries.Panel, "number": stat.Panel, "table": table.Panel}


def to_json(board: Board, every_seconds: int) -> str:
    """The same bytes for the same board. every_seconds: how often Prometheus scrapes."""
    others = builders.DashboardLink("trueup").type(models.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(False)
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
        .link(others.keep_time(True).include_vars(True))
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .annotation(_swaps(every_seconds))
    )
    for variable in board.variables:
        built.with_variable(_variable(variable))
    number = 0
    for row in board.rows:
        number += 1
        built.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            built.with_panel(_panel(panel, {variable.name for variable in board.variables}).id(number))
    board_json: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(built.build()))
    for found in board_json["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            found.pop(name)  # of another kind of variable; Grafana's schema refuses them here
    for found in board_json["annotations"]["list"]:
        found["target"] = {"refId": "Anno", "expr": found.pop("expr")}  # where Grafana's Prometheus looks for it
    return json.dumps(board_json, indent=2, sort_keys=True) + "\n"


def _variable(variable: Variable) -> Any:
    return (
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


def _panel(panel: Panel, choices: set[str]) -> Any:
    """choices: the names of the dashboard's variables."""
    built: Any = (
        _KINDS[panel.kind]()
        .title(panel.title)
        .description(panel.help)
        .datasource(_source())
        .unit(panel.unit)
        .span(panel.width)
        .height(_HEIGHT[panel.kind])
    )
    for at, query in enumerate(panel.queries):
        built.with_target(_target(panel, query, chr(ord("A") + at)))
    if panel.limit is not None:
        built.thresholds(_limit(panel.limit, below=panel.below))
    if panel.link is not None:
        built.data_links([builders.DashboardLink(panel.link.title).url(_url(panel.link, panel, choices))])
    if panel.kind == "table":
        _as_table(built, panel)
    elif panel.kind != "number":
        _as_graph(built, panel)
    return built


def _target(panel: Panel, query: Query, reference: str) -> Any:
    target = prometheus.Dataquery().expr(query.expr).ref_id(reference).datasource(_source())
    if panel.kind == "table":
        return target.instant().format(PromQueryFormat.TABLE)
    if query.legend:
        target.legend_format(query.legend)
    return target.instant() if panel.kind == "number" else target


def _as_graph(built: Any, panel: Panel) -> None:
    if panel.unit == "percentunit":
        built.min(0)
    built.legend(
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )
    if panel.kind == "stacked":
        built.fill_opacity(40).stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    elif panel.limit is not None:
        built.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE))
    if any(query.legend.endswith((LOW, HIGH)) for query in panel.queries):
        dashes = {"fill": "dash", "dash": [4, 4]}
        built.override_by_regexp(
            f"/({LOW}|{HIGH})$/",
            [
                models.DynamicConfigValue("custom.lineStyle", dashes),
                models.DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
            ],
        )


def _as_table(built: Any, panel: Panel) -> None:
    """One row a series, or where there are several queries one a set of labels; a column for each label and value."""
    # So Grafana calls the column of a query's value: by the query too where there is more than one.
    single = len(panel.queries) == 1
    values = {"Value" if single else f"Value #{chr(ord('A') + at)}": query for at, query in enumerate(panel.queries)}
    hidden = {name for name in ("Time", "__name__", "instance", "job") if name not in panel.labels}
    hidden |= {name for name, query in values.items() if not query.legend}
    order = {name: at for at, name in enumerate((*panel.labels, *values))}
    if not single:
        built.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    built.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(sorted(hidden), True),
                "indexByName": order,
                "renameByName": {name: query.legend for name, query in values.items() if query.legend},
            },
        )
    )
    for query in panel.queries:
        if properties := list(_column(query)):
            built.override_by_name(query.legend, properties)


def _column(query: Query) -> Iterator[models.DynamicConfigValue]:
    if query.unit is not None:
        yield models.DynamicConfigValue("unit", query.unit)
    if query.limit is not None:
        steps = json.loads(JSONEncoder(sort_keys=True).encode(_limit(query.limit, below=query.below).build()))
        yield models.DynamicConfigValue("thresholds", steps)
        yield models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})


def _url(link: Link, panel: Panel, choices: set[str]) -> str:
    """Grafana fills in the time, the choices, and of a click the label."""
    parts = ["${__url_time_range}", "${datasource:queryparam}"]
    parts += [f"${{{name}:queryparam}}" for name in sorted(choices - {link.label})]
    if link.label is not None:
        clicked = f"__data.fields.{link.label}" if panel.kind == "table" else f"__field.labels.{link.label}"
        parts.append(f"var-{link.label}=${{{clicked}}}")
    return f"/d/{link.board}?{'&'.join(parts)}"


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


def _swaps(every_seconds: int) -> Any:
    """A line where a server took another version of a model, in the last four scrapes."""
    return (
        builders.AnnotationQuery()
        .name("Model swaps")
        .datasource(_source())
        .enable(True)
        .icon_color("purple")
        .expr(f"sum by (instance) (changes(trueup_model_swaps_total[{4 * every_seconds}s])) > 0")
    )
