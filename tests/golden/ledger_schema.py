"""The JSON Schema of an offline-to-online ledger, held in the package. Regenerate it when the ledger's types change:

python -m tests.golden.ledger_schema
"""

from __future__ import annotations

from pathlib import Path

from trueup.diagnose.sinks import schema

PATH = Path(schema.__file__).with_name(schema.FILE)

if __name__ == "__main__":
    PATH.write_text(schema.render_schema(), encoding="utf-8")
