"""The ledger as a terminal table, Markdown, HTML and JSON. Nothing is computed here."""
