"""Outcomes: what became of served rows, known later than they were served."""

from trueup.eventlog.outcomes.entities import by_request
from trueup.eventlog.outcomes.joining import join, known
from trueup.eventlog.outcomes.kept import Outcomes, keep_outcomes, known_outcomes, read_outcomes
from trueup.eventlog.outcomes.labelled_log import labelled_log, resolved

__all__ = [
    "Outcomes",
    "by_request",
    "join",
    "keep_outcomes",
    "known",
    "known_outcomes",
    "labelled_log",
    "read_outcomes",
    "resolved",
]
