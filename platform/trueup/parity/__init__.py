"""What was served against what training would read: every difference counted, and its cause named.

A run reads once (`evidence`) and is pure from there: `checks` compare, `causes` explain, `report` holds the
result, `sinks` show it. `engine` puts them together.
"""
