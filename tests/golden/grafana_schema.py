"""The JSON Schema of a Grafana dashboard, made of the TypeScript types of @grafana/schema (Apache 2.0). Make it again,
which needs npm, when the version changes:

python -m tests.golden.grafana_schema
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema

ROOT = Path(__file__).parents[2]
PATH = Path(__file__).with_name("grafana_dashboard.schema.json")
VERSION = "13.2.3"
PACKAGES = (f"@grafana/schema@{VERSION}", "ts-json-schema-generator@2.4.0")
FOLDER = ROOT / "build" / "npm" / f"grafana-schema-{VERSION}"
ENTRY = "import { Dashboard } from '@grafana/schema';\nexport type D = Dashboard;\n"


def make_schema() -> str | None:
    """As npm's packages make it, without the prose. None when npm cannot get them."""
    path = FOLDER / "schema.json"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "entry.ts").write_text(ENTRY)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(FOLDER), *PACKAGES]
        if subprocess.run(install, check=False).returncode:
            return None
        options = ["--path", "entry.ts", "--type", "D", "--no-type-check", "--expose", "none", "-o", "schema.json"]
        subprocess.run(["npx", "ts-json-schema-generator", *options], cwd=FOLDER, check=True)
    return json.dumps(_without_prose(json.loads(path.read_text())), indent=1, sort_keys=True) + "\n"


def _without_prose(node: Any) -> Any:
    """A property that is called `description` stays: it is an object, not a text."""
    if isinstance(node, dict):
        return {
            key: _without_prose(value)
            for key, value in node.items()
            if not (key == "description" and isinstance(value, str))
        }
    return [_without_prose(each) for each in node] if isinstance(node, list) else node


def faults_of(text: str) -> list[str]:
    """What Grafana's schema has against a dashboard: nothing, if all is well. text: its JSON."""
    schema = json.loads(PATH.read_text())
    board = json.loads(text)
    for annotation in board["annotations"]["list"]:
        # What a data source is asked for an annotation is the data source's own; the schema knows none of them.
        annotation["target"].pop("expr")
    found = jsonschema.validators.validator_for(schema)(schema).iter_errors(board)
    return [f"{list(error.absolute_path)}: {error.message}" for error in found]


if __name__ == "__main__":
    made = make_schema()
    if made is None:
        sys.exit(f"npm cannot get {', '.join(PACKAGES)}")
    PATH.write_text(made, encoding="utf-8")
