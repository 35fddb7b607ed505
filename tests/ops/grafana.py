"""The committed dashboards against Grafana's own schema, made of its TypeScript types."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
from tests.ops.outcome import Outcome, missing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "npm" / "grafana-schema"
PACKAGES = ("@grafana/schema@13.2.3", "ts-json-schema-generator@2")
ENTRY = "import { Dashboard } from '@grafana/schema';\nexport type D = Dashboard;\n"


def check() -> Outcome:
    if missing("npm", "npx"):
        return Outcome("grafana", "skipped", "npm missing: install Node.js 20")
    schema = _schema()
    if schema is None:
        return Outcome("grafana", "skipped", f"npm cannot get {', '.join(PACKAGES)}")
    validator = jsonschema.validators.validator_for(schema)(schema)
    boards = sorted((ROOT / "infra" / "grafana" / "dashboards").glob("*.json"))
    wrong = []
    for path in boards:
        board = json.loads(path.read_text())
        for annotation in board["annotations"]["list"]:
            # What a data source is asked for an annotation is the data source's own; the schema knows none of them.
            annotation["target"].pop("expr")
        wrong += [f"{path.name} {list(error.path)}: {error.message}" for error in validator.iter_errors(board)]
    if wrong or not boards:
        return Outcome("grafana", "failed", "; ".join(wrong[:5]) or "there is no dashboard")
    return Outcome(
        "grafana", "passed", f"{len(boards)} dashboards are what {PACKAGES[0]} says", {"dashboards": len(boards)}
    )


def _schema() -> dict[str, Any] | None:
    path = FOLDER / "schema.json"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "entry.ts").write_text(ENTRY)
        if subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(FOLDER), *PACKAGES], check=False
        ).returncode:
            return None
        options = ["--path", "entry.ts", "--type", "D", "--no-type-check", "--expose", "none", "-o", "schema.json"]
        subprocess.run(["npx", "ts-json-schema-generator", *options], cwd=FOLDER, check=True)
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema
