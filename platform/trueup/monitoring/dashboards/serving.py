"""Dashboard: the servers. What is asked, how fast, by which variant; what is read of the store; what is logged."""

from __future__ import annotations

from trueup.monitoring.alerts.burn import ROUTES
from trueup.monitoring.config import MonitoringConfig
from trueup.monitoring.dashboards.panel import Board, Link, Panel, Query, Row, Variable

_R = "[$__rate_interval]"
_ALL = f"trueup_requests_total{{{ROUTES}}}"
_FAILED = f'trueup_requests_total{{{ROUTES}, code=~"5.."}}'
_OF = 'experiment=~"$experiment"'


def serving_board(config: MonitoringConfig) -> Board:
    return Board(
        "trueup-serving",
        "trueup: serving",
        "Requests, variants, look-ups, features, the served log, and what is served.",
        (_glance(config), _requests(config), _variants(), _features(), _log(), _models()),
        (Variable("experiment", "trueup_variant_requests_total"), Variable("service", "trueup_lookups_total")),
    )


def _quantile(share: float, metric: str, by: str, where: str = "") -> str:
    return f"histogram_quantile({share:g}, sum by (le, {by}) (rate({metric}_bucket{{{where}}}{_R})))"


def _glance(config: MonitoringConfig) -> Row:
    slo = config.slo
    errors = f"(sum(rate({_FAILED}{_R})) or vector(0)) / sum(rate({_ALL}{_R}))"
    lost = 'sum(increase(trueup_log_rows_total{outcome=~"dropped|failed"}[$__range]))'
    return Row(
        "At a glance",
        (
            Panel(
                "Requests",
                "Predictions and look-ups a second.",
                (Query(f"sum(rate({_ALL}{_R}))"),),
                "number",
                "reqps",
                4,
            ),
            Panel(
                "Errors",
                "Share answered with a 5xx; red beyond the objective.",
                (Query(errors),),
                "number",
                "percentunit",
                5,
                1 - slo.availability,
            ),
            Panel(
                "p99",
                "99 of 100 requests are answered within it; red beyond the objective.",
                (
                    Query(
                        f"histogram_quantile(0.99, sum by (le) (rate(trueup_request_seconds_bucket{{{ROUTES}}}{_R})))"
                    ),
                ),
                "number",
                "s",
                5,
                slo.latency_seconds,
            ),
            Panel(
                "Rows lost",
                "Served rows that are not in the log, in the time shown.",
                (Query(lost),),
                "number",
                "short",
                5,
                1,
            ),
            Panel(
                "Servers",
                "That answer Prometheus.",
                (Query('sum(up{job="trueup-serving"})'),),
                "number",
                "none",
                5,
                1,
                True,
            ),
        ),
    )


def _requests(config: MonitoringConfig) -> Row:
    return Row(
        "Requests",
        (
            Panel(
                "By route and code",
                "Requests a second. 422 is a caller's mistake, 503 the store or an overload, 500 a defect.",
                (Query(f"sum by (route, code) (rate(trueup_requests_total{_R}))", "{{route}} {{code}}"),),
                unit="reqps",
            ),
            Panel(
                "Latency",
                "From a request's headers to the last byte of its answer. The line is the objective.",
                tuple(
                    Query(
                        _quantile(share, "trueup_request_seconds", "route", ROUTES), f"p{100 * share:g} {{{{route}}}}"
                    )
                    for share in (0.5, 0.95, 0.99)
                ),
                unit="s",
                limit=config.slo.latency_seconds,
            ),
            Panel(
                "Error budget",
                "Share of failed requests over 5 minutes, an hour and six; the line is what the objective allows.",
                tuple(
                    # Without any failure there is no rate of failures; without any request there is to be no line.
                    Query(
                        f"trueup:request_errors:ratio_rate{window} or on () 0 * trueup:request_slow:ratio_rate{window}",
                        window,
                    )
                    for window in ("5m", "1h", "6h")
                ),
                unit="percentunit",
                limit=1 - config.slo.availability,
            ),
            Panel(
                "Latency budget",
                f"Share of requests slower than {config.slo.latency_seconds:g} s; the line is the objective's.",
                tuple(Query(f"trueup:request_slow:ratio_rate{window}", window) for window in ("5m", "1h", "6h")),
                unit="percentunit",
                limit=1 - config.slo.latency,
            ),
        ),
    )


def _variants() -> Row:
    return Row(
        "Variants",
        (
            Panel(
                "Requests by variant",
                "With a row of the variant, by whether they were answered.",
                (
                    Query(
                        f"sum by (variant, outcome) (rate(trueup_variant_requests_total{{{_OF}}}{_R}))",
                        "{{variant}} {{outcome}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "p99 by variant",
                "Time in the service, assignment to logged. One variant alone slower is its model.",
                (Query(_quantile(0.99, "trueup_variant_seconds", "variant", _OF), "{{variant}}"),),
                unit="s",
            ),
            Panel(
                "Share of rows",
                "Of the rows answered; it should be the design's. The experiment's board tests it, by units.",
                (
                    Query(
                        f"sum by (variant) (rate(trueup_assignments_total{{{_OF}}}{_R})) / on () group_left ()"
                        f" sum(rate(trueup_assignments_total{{{_OF}}}{_R}))",
                        "{{variant}}",
                    ),
                ),
                "stacked",
                "percentunit",
                8,
                link=Link("trueup-experiment", "Is the split what it should be?"),
            ),
            Panel(
                "Median prediction",
                "Half of the answers are below it. A jump without a swap is skew.",
                (Query(_quantile(0.5, "trueup_prediction", "variant", _OF), "{{variant}}"),),
                unit="short",
                width=8,
                link=Link("trueup-parity", "Which values differ?"),
            ),
            Panel(
                "Exposures",
                "Rows by how they met the experiment.",
                (Query(f"sum by (exposure) (rate(trueup_exposures_total{{{_OF}}}{_R}))", "{{exposure}}"),),
                "stacked",
                "short",
                8,
            ),
        ),
    )


def _features() -> Row:
    of = 'service=~"$service"'
    absent = f'sum by (feature) (rate(trueup_feature_values_total{{{of}, status!="present"}}{_R}))'
    return Row(
        "Features",
        (
            Panel(
                "Look-up",
                "One read of the online store for a feature service.",
                tuple(
                    Query(_quantile(share, "trueup_lookup_seconds", "service", of), f"p{100 * share:g} {{{{service}}}}")
                    for share in (0.5, 0.99)
                ),
                unit="s",
            ),
            Panel(
                "Look-ups that failed",
                "The store did not answer, or a function of what it gave failed.",
                (Query(f'sum by (service) (rate(trueup_lookups_total{{{of}, outcome="failed"}}{_R}))', "{{service}}"),),
                unit="reqps",
            ),
            Panel(
                "Absent values",
                "Share of a feature's values that are null, missing or expired; the ten features with most.",
                (
                    Query(
                        f"topk(10, {absent} / sum by (feature) (rate(trueup_feature_values_total{{{of}}}{_R})))",
                        "{{feature}}",
                    ),
                ),
                unit="percentunit",
                width=8,
                link=Link("trueup-parity", "What training had"),
            ),
            Panel(
                "Values by state",
                "missing: the store does not know the entity. expired: older than the TTL. null: the source says so.",
                (Query(f"sum by (status) (rate(trueup_feature_values_total{{{of}}}{_R}))", "{{status}}"),),
                "stacked",
                "short",
                8,
            ),
            Panel(
                "Age of what is read",
                "Nine of ten values of a view are younger.",
                (Query(_quantile(0.9, "trueup_feature_age_seconds", "view", of), "{{view}}"),),
                unit="s",
                width=8,
                link=Link("trueup-freshness", "How fresh ${__field.labels.view} is", "view"),
            ),
        ),
    )


def _log() -> Row:
    return Row(
        "Served log",
        (
            Panel(
                "Rows by what became of them",
                "dropped: the queue was full. failed: the file could not be written.",
                (Query(f"sum by (outcome) (rate(trueup_log_rows_total{_R}))", "{{outcome}}"),),
                "stacked",
            ),
            Panel(
                "Queue",
                "How full it is; when it is full, rows are dropped.",
                (Query("trueup_log_queue_rows / trueup_log_queue_limit_rows", "{{instance}}"),),
                unit="percentunit",
                limit=0.8,
            ),
        ),
    )


def _models() -> Row:
    return Row(
        "What is served",
        (
            Panel(
                "Models",
                "One line for each variant and server.",
                (Query("trueup_model_info"),),
                "table",
                "none",
                12,
                labels=("variant", "model", "version", "alias", "instance", "contract_hash"),
            ),
            Panel(
                "Contracts",
                "That are read, with the number of their features.",
                (Query("trueup_contract_info"),),
                "table",
                "none",
                12,
                labels=("service", "features", "contract_hash", "instance"),
            ),
            Panel(
                "Aliases followed",
                "0: a variant's model is not what its alias names.",
                (Query("min by (variant) (trueup_alias_followed)", "{{variant}}"),),
                unit="none",
                width=8,
            ),
            Panel(
                "Fallback answers",
                "Rows a second that were answered without features.",
                (Query(f"sum by (variant) (rate(trueup_fallback_rows_total{{{_OF}}}{_R}))", "{{variant}}"),),
                width=8,
            ),
            Panel(
                "Refused for overload",
                "Requests a second beyond `limits.concurrency`.",
                (Query(f"sum by (instance) (rate(trueup_overloaded_requests_total{_R}))", "{{instance}}"),),
                unit="reqps",
                width=8,
            ),
        ),
    )
