"""Everything that is generated for Prometheus, Alertmanager and Grafana, and how it differs from what is there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trueup.contracts.contract import View
from trueup.errors import InputError
from trueup.monitoring.alerts.files import alerting_files
from trueup.monitoring.config import MonitoringConfig
from trueup.monitoring.dashboards import grafana_files

Standing = Literal["same", "differs", "missing"]
_DIFF_LINES = 12


@dataclass(frozen=True)
class Generated:
    """path: below the folder of all. text: as it should be. standing: of what is there now."""

    path: str
    text: str
    standing: Standing
    difference: tuple[str, ...] = ()


def generated_files(config: MonitoringConfig, views: Sequence[View]) -> Mapping[str, str]:
    """Path -> text. views: those that are kept online, each once by its table."""
    return {**alerting_files(config, views), **grafana_files(config)}


def compare(files: Mapping[str, str], folder: Path) -> tuple[Generated, ...]:
    """What is there, against what should be. Raises InputError for a file that cannot be read."""
    found = []
    for name, text in files.items():
        path = folder / name
        try:
            there = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            found.append(Generated(name, text, "missing"))
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("out", f"{path} cannot be read: {error}.", hint="Remove it, and generate it.") from error
        if there == text:
            found.append(Generated(name, text, "same"))
        else:
            lines = difflib.unified_diff(there.splitlines(), text.splitlines(), "there", "generated", lineterm="", n=1)
            found.append(Generated(name, text, "differs", tuple(lines)[2 : _DIFF_LINES + 2]))
    return tuple(found)
