"""Outcomes: what became of served rows, known later than they were served."""

from trueup.eventlog.outcomes.joining import join
from trueup.eventlog.outcomes.kept import Outcomes, keep_outcomes, known_outcomes, read_outcomes

__all__ = ["Outcomes", "join", "keep_outcomes", "known_outcomes", "read_outcomes"]
