"""Grafana's dashboards, from the settings: four boards, each a file of its own, and how Grafana finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trueup.monitoring.config import MonitoringConfig
    from trueup.monitoring.dashboards.panel import Board

_HEAD = "# Written by `trueup monitoring generate`.\n"
_PROVIDER = f"""{_HEAD}apiVersion: 1
providers:
  - name: trueup
    folder: trueup
    type: file
    allowUiUpdates: false
    options:
      path: /etc/grafana/trueup
"""


def boards(config: MonitoringConfig) -> tuple[Board, ...]:
    """In the order in which one looks at them."""
    from trueup.monitoring.dashboards.experiment import experiment_board
    from trueup.monitoring.dashboards.freshness import freshness_board
    from trueup.monitoring.dashboards.parity import parity_board
    from trueup.monitoring.dashboards.serving import serving_board

    return serving_board(config), parity_board(config), experiment_board(config), freshness_board(config)


def grafana_files(config: MonitoringConfig) -> Mapping[str, str]:
    """Path below `infra/` -> text."""
    from trueup.monitoring.dashboards.render import to_json

    written = {
        f"grafana/dashboards/{board.uid.removeprefix('trueup-')}.json": to_json(board, config.scrape.interval_seconds)
        for board in boards(config)
    }
    return {
        **written,
        "grafana/provisioning/datasources/prometheus.yml": _source(config.scrape.interval_seconds),
        "grafana/provisioning/dashboards/trueup.yml": _PROVIDER,
    }


def _source(every_seconds: int) -> str:
    """Grafana makes `$__rate_interval` of `timeInterval`: a rate over less than two scrapes would be empty."""
    return f"""{_HEAD}apiVersion: 1
datasources:
  - name: Prometheus
    uid: trueup-prometheus
    type: prometheus
    access: proxy
    url: http://prometheus:9090
    isDefault: true
    jsonData:
      timeInterval: {every_seconds}s
"""
