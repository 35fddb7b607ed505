"""SQL text of an as-of read. Pure: no connection, no data, nothing but strings."""

from __future__ import annotations


def identifier(name: str) -> str:
    """A quoted SQL identifier, whatever the name holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def subquery(query: str) -> str:
    """A SELECT as a parenthesised table; line breaks keep a comment in its last line from eating the bracket."""
    return f"(\n{query.strip().rstrip(';')}\n)"
