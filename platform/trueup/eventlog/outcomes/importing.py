"""One import of outcomes: read, made into rows, held against the log, kept. I/O at the rim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trueup.eventlog.outcomes.kept import Outcomes, check_name, keep_outcomes, known_outcomes, read_outcomes
from trueup.eventlog.outcomes.labelled_log import fit_to_log
from trueup.eventlog.outcomes.normalise import Columns, normalise
from trueup.eventlog.outcomes.sources import read_source
from trueup.eventlog.outcomes.unseen import unseen

__all__ = ["Columns", "Imported", "import_outcomes"]


@dataclass(frozen=True)
class Imported:
    """rows: with a value. by: how they are keyed. new: rows that were not kept already. path: the file they are in,
    None where nothing was new. pending, naive: see `Normalised`. fit: of all rows to the log, see `joining.COUNTS`;
    None where there is no log."""

    outcome: str
    rows: int
    by: str
    new: int
    path: Path | None
    pending: int
    naive: int
    fit: Mapping[str, int] | None

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "rows": self.rows,
            "keyed_by": self.by,
            "new": self.new,
            "file": None if self.path is None else str(self.path),
            "without_value": self.pending,
            "without_time_zone": self.naive,
            "log": None if self.fit is None else dict(self.fit),
        }


def import_outcomes(
    source: str, outcome: str, columns: Columns, *, root: Path, log: Path, token: str | None, now: datetime
) -> Imported:
    """root: where outcomes are kept. log: the served log, which need not be there. now: the import's instant.

    Raises InputError and SourceError; then nothing was kept.
    """
    check_name(outcome)
    found = normalise(read_source(source, texts=columns.texts, token=token), outcome, columns, now=now)
    # Before it is kept: a join key that no log has would be in the way of every read after.
    fit = fit_to_log(log, Outcomes(outcome, found.table), now=now)
    new = found.table
    if outcome in known_outcomes(root):
        new = unseen(found.table, read_outcomes(root, outcome).table, dated=found.dated)
    kept = keep_outcomes(root, outcome, new) if new.num_rows else None
    return Imported(
        outcome=outcome,
        rows=found.table.num_rows,
        by=found.by,
        new=new.num_rows,
        path=None if kept is None else kept.path,
        pending=found.pending,
        naive=found.naive,
        fit=fit,
    )
