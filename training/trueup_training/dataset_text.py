"""Snapshots and their differences for a terminal: tables of at most 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from trueup.cli import print_table
from trueup.console import output
from trueup.datasets.changes import MEANING, Reason
from trueup.datasets.snapshot import Snapshot
from trueup.instants import format_instant
from trueup.parity.snapshots import OnlyRows, SnapshotDifference
from trueup.wording import counted


def print_snapshot(snapshot: Snapshot) -> None:
    """What was built, and where it lies."""
    manifest, counts = snapshot.manifest, snapshot.counts
    output.print(f"{manifest}  {escape(str(snapshot.folder))}", soft_wrap=True)
    output.print(f"id {snapshot.id}")
    output.print(f"known_at = {manifest.spec.rule.known_at}, pinned {format_instant(manifest.spec.pinned)}")
    late = "" if counts.label_unknown is None else f", {counts.label_unknown:,} with no answer in time"
    output.print(
        f"{counts.train:,} rows to learn from, {counts.holdout:,} held out; left out: {counts.not_sampled:,} not "
        f"sampled{late}"
    )
    print_table(
        [
            {"part": part.name, "rows": f"{part.rows:,}", "bytes": f"{part.bytes:,}", "sha256": part.sha256[:12]}
            for part in manifest.parts
        ]
    )


def print_verified(
    folder: Path,
    snapshot: Snapshot | None,
    problems: Sequence[str],
    difference: SnapshotDifference | None,
    *,
    asked: bool,
) -> None:
    """asked: whether it was to be built again."""
    for problem in problems:
        output.print(f"[bold red]FAIL[/]  {escape(problem)}")
    if snapshot is None:
        output.print("One that DVC tracks is put in its place whole by: trueup dataset restore ID")
        if asked:
            output.print(f"{escape(str(folder))} was not built again: what is there is not what it says it is.")
        return
    parts = snapshot.manifest.parts
    output.print(
        f"[bold green]PASS[/]  {snapshot.manifest}: {counted(len(parts), 'part')}, "
        f"{counted(sum(part.bytes for part in parts), 'byte')}, each as the manifest says."
    )
    if difference is None:
        return
    if difference.same:
        output.print("[bold green]PASS[/]  Built again from the sources: the same bytes.")
        return
    output.print("[bold red]FAIL[/]  Built again from the sources: not the same bytes. A is kept, B built now.")
    print_difference(difference)


def print_difference(found: SnapshotDifference) -> None:
    """Inputs, then rows, then columns, then a cell of each column (`--json` has more)."""
    if found.same:
        output.print(f"[bold green]SAME[/]  {found.a} and {found.b}: every byte of every part.")
        return
    extent = "the same rows and values" if found.content_same else "other rows or values"
    output.print(f"[bold red]DIFFERENT[/]  A {found.a}, B {found.b}: {extent}.")
    if found.changes:
        print_table(
            [
                {"reason": change.reason, "input": escape(change.part), "A -> B": escape(change.detail)}
                for change in found.changes
            ]
        )
    else:
        output.print("Their inputs are the same.")
    output.print(f"{counted(found.rows, 'row')} in both. {_only('A', found.only_a)} {_only('B', found.only_b)}")
    for side, names in (("A", found.only_columns_a), ("B", found.only_columns_b)):
        if names:
            output.print(f"Only in {side}, columns: {escape(', '.join(names))}")
    if found.columns:
        print_table(
            [
                {
                    "column": escape(column.column),
                    "compared": column.uncompared or f"{column.compared:,}",
                    "differ": "bits only" if column.bits and not column.differ else f"{column.differ:,}",
                    "of another row": f"{column.other_row:,}",
                    "may be": ", ".join(column.reasons),
                }
                for column in found.columns
            ]
        )
    _print_cells(found)
    for reason in found.reasons:
        output.print(f"{reason}: {MEANING[reason]}")


def _print_cells(found: SnapshotDifference) -> None:
    for column in found.columns:
        for cell in column.samples[:1]:
            row = f"{column.column} of {cell.id} at {cell.event_timestamp}"
            output.print(escape(f"{row}: {cell.a} -> {cell.b}"))


def _only(side: str, rows: OnlyRows) -> str:
    if not rows.rows:
        return f"None only in {side}."
    return f"{rows.rows:,} only in {side} ({_counts(rows.reasons)}), such as {escape(', '.join(rows.examples))}."


def _counts(reasons: Mapping[Reason, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
