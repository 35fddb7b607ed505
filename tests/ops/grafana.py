"""The committed dashboards against Grafana's own schema, made afresh of its TypeScript types.

The tests hold them to the schema that is committed; this says that the committed one is Grafana's.
"""

from __future__ import annotations

from pathlib import Path

from tests.golden.grafana_schema import PACKAGES, PATH, faults_of, make_schema
from tests.ops.outcome import Outcome, missing

BOARDS = Path(__file__).parents[2] / "infra" / "grafana" / "dashboards"


def check() -> Outcome:
    if missing("npm", "npx"):
        return Outcome("grafana", "skipped", "npm missing: install Node.js 20")
    made = make_schema()
    if made is None:
        return Outcome("grafana", "skipped", f"npm cannot get {', '.join(PACKAGES)}")
    if made != PATH.read_text(encoding="utf-8"):
        again = "python -m tests.golden.grafana_schema"
        return Outcome("grafana", "failed", f"{PATH.name} is not what {PACKAGES[0]} says; `{again}` makes it again")
    boards = sorted(BOARDS.glob("*.json"))
    wrong = [f"{path.name} {fault}" for path in boards for fault in faults_of(path.read_text())]
    if wrong or not boards:
        return Outcome("grafana", "failed", "; ".join(wrong[:5]) or "there is no dashboard")
    return Outcome(
        "grafana", "passed", f"{len(boards)} dashboards are what {PACKAGES[0]} says", {"dashboards": len(boards)}
    )
