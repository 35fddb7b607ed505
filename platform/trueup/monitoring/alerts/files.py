"""The files of Prometheus and Alertmanager, from settings and contracts: the same bytes for the same of both. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from trueup.contracts.contract import View
from trueup.monitoring.alerts.burn import burn_group
from trueup.monitoring.alerts.data import data_group
from trueup.monitoring.alerts.inhibition import INHIBITIONS
from trueup.monitoring.alerts.jobs import JOB as MONITOR_JOB
from trueup.monitoring.alerts.jobs import jobs_group
from trueup.monitoring.alerts.models import models_group
from trueup.monitoring.alerts.parity import parity_group
from trueup.monitoring.alerts.rules import Group
from trueup.monitoring.alerts.serving import JOB as SERVING_JOB
from trueup.monitoring.alerts.serving import serving_group
from trueup.monitoring.alerts.settings import AlertSettings
from trueup.monitoring.config import MonitoringConfig

RULES = "prometheus/rules.yml"
PROMETHEUS = "prometheus/prometheus.yml"
ALERTMANAGER = "alertmanager/alertmanager.yml"
_HEAD = "# Written by `trueup monitoring generate`; change the settings or the definitions, not this file.\n"


def groups_of(config: MonitoringConfig, views: Sequence[View]) -> tuple[Group, ...]:
    """views: those that are kept online, each once by its table."""
    alerts = config.alerts
    return (
        serving_group(alerts),
        burn_group(config.slo),
        data_group(config, views),
        parity_group(alerts),
        models_group(alerts),
        jobs_group(alerts),
    )


def alerting_files(config: MonitoringConfig, views: Sequence[View]) -> Mapping[str, str]:
    """Path below `infra/` -> text."""
    groups = groups_of(config, views)
    return {
        RULES: _text({"groups": [group.to_yaml(config.alerts.runbook_url) for group in groups]}),
        PROMETHEUS: _text(_prometheus(config)),
        ALERTMANAGER: _text(_alertmanager(config.alerts)),
    }


def _prometheus(config: MonitoringConfig) -> dict[str, Any]:
    scrape = config.scrape
    interval = f"{scrape.interval_seconds}s"

    def job(name: str, targets: Sequence[str]) -> dict[str, Any]:
        return {"job_name": name, "static_configs": [{"targets": list(targets)}]}

    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(scrape.alertmanager)}]}]},
        "scrape_configs": [job(SERVING_JOB, scrape.serving), job(MONITOR_JOB, scrape.monitor)],
    }


def _alertmanager(alerts: AlertSettings) -> dict[str, Any]:
    """A page is told at once and again after 4 hours, a ticket once a day."""

    def receiver(name: str) -> dict[str, Any]:
        if alerts.webhook is None:
            return {"name": name}
        hook: dict[str, Any] = {"url": alerts.webhook, "send_resolved": True}
        if alerts.webhook_token_file is not None:
            hook["http_config"] = {"authorization": {"credentials_file": alerts.webhook_token_file}}
        return {"name": name, "webhook_configs": [hook]}

    return {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname", "experiment", "view"],
            "group_wait": "1m",
            "group_interval": "5m",
            "repeat_interval": "1d",
            "routes": [
                {
                    "receiver": "page",
                    "matchers": ['severity="page"'],
                    "group_wait": "10s",
                    "group_interval": "1m",
                    "repeat_interval": "4h",
                }
            ],
        },
        "receivers": [receiver("page"), receiver("ticket")],
        "inhibit_rules": [each.to_yaml() for each in INHIBITIONS],
    }


class _Dumper(yaml.SafeDumper):
    """Blocks are indented below their key, and nothing is an alias of another."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(data: Mapping[str, Any]) -> str:
    text = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return f"{_HEAD}{text}"
