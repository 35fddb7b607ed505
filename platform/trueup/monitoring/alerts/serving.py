"""Alerts on the server: is it there, is it asked, what does it lose."""

from __future__ import annotations

from trueup.monitoring.alerts.rules import Alert, Group
from trueup.monitoring.alerts.settings import AlertSettings

JOB = "trueup-serving"
"""What Prometheus calls the servers."""


def serving_group(settings: AlertSettings) -> Group:
    hold = settings.hold_seconds
    return Group(
        "trueup-serving",
        (
            Alert(
                "TrueupServingDown",
                f'sum(up{{job="{JOB}"}}) == 0 or absent(up{{job="{JOB}"}})',
                min(hold, 60),
                "page",
                "serving",
                "No server answers.",
                "Prometheus reaches none of the servers. `GET /readyz` of one says why it is not ready.",
                {"job": JOB},
            ),
            Alert(
                "TrueupServerDown",
                f'up{{job="{JOB}"}} == 0',
                hold,
                "ticket",
                "serving",
                "{{ $labels.instance }} does not answer.",
                "One server of several: the others take its requests. Its last words are in its log.",
            ),
            Alert(
                "TrueupNoTraffic",
                "sum by (experiment) (rate(trueup_variant_requests_total[5m])) == 0",
                settings.no_traffic_seconds,
                "page",
                "serving",
                "Nobody asks the server of {{ $labels.experiment }}.",
                "Not one request of experiment {{ $labels.experiment }} came to a variant. Look at the proxy and the "
                "callers; requests that are refused (4xx) come to none either.",
            ),
            Alert(
                "TrueupOnlineStoreFails",
                'sum by (service) (rate(trueup_lookups_total{outcome="failed"}[5m]))'
                " / sum by (service) (rate(trueup_lookups_total[5m])) > 0.01",
                min(hold, 60),
                "page",
                "serving",
                "Reads of the online store fail.",
                "{{ $value | humanizePercentage }} of the reads for {{ $labels.service }} fail. `GET /readyz` says "
                "what Redis answers.",
            ),
            Alert(
                "TrueupFallbackAnswers",
                "sum by (experiment, variant) (increase(trueup_fallback_rows_total[5m])) > 0",
                min(hold, 60),
                "page",
                "serving",
                "{{ $labels.variant }} answers without features.",
                "{{ $value | humanize }} rows within 5 minutes were predicted as of entities that nothing is known of.",
            ),
            Alert(
                "TrueupLogRowsLost",
                'sum by (instance, outcome) (increase(trueup_log_rows_total{outcome=~"dropped|failed"}[15m])) > 0',
                0,
                "page",
                "serving",
                "Served rows are lost.",
                "{{ $value | humanize }} rows of {{ $labels.instance }} were {{ $labels.outcome }} within 15 minutes: "
                "parity, the read-out and the ledger will not see them. `failed`: the disk. `dropped`: a full queue.",
            ),
            Alert(
                "TrueupLogQueueFills",
                f"trueup_log_queue_rows / trueup_log_queue_limit_rows > {settings.log_queue_ratio:g}",
                min(hold, 60),
                "ticket",
                "serving",
                "The log's queue fills up.",
                "It is {{ $value | humanizePercentage }} full on {{ $labels.instance }}; once it is, rows are dropped.",
            ),
            Alert(
                "TrueupOverloaded",
                "sum by (instance) (rate(trueup_overloaded_requests_total[5m])) > 0",
                hold,
                "ticket",
                "serving",
                "{{ $labels.instance }} refuses requests.",
                "{{ $value | humanize }} requests a second are more than `limits.concurrency` at once.",
            ),
            Alert(
                "TrueupAliasNotFollowed",
                "trueup_alias_followed == 0",
                hold,
                "ticket",
                "serving",
                "{{ $labels.variant }} is not what its alias names.",
                "{{ $labels.instance }} keeps serving the version it has. `GET /readyz` says the variant's problem.",
            ),
        ),
    )
