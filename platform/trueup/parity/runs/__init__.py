"""Runs of the checks from end to end, one file a check: read, check, report."""
