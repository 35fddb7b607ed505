"""Reading several views of the same entities with one command for each entity. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Reply = Sequence[bytes | None]
Get = tuple[bytes, tuple[bytes, ...]]
"""An HMGET: an entity's hash and the fields wanted of it."""


@dataclass(frozen=True)
class MergedReads:
    """`gets` to send, in order, and where the replies to each group's fields are in theirs."""

    gets: tuple[Get, ...]
    _groups: tuple[Mapping[bytes, tuple[int, int, int]], ...]

    def of_group(self, group: int, replies: Sequence[Reply]) -> dict[bytes, Reply]:
        """Key -> replies to the group's fields, in the group's order; every key the group asked for."""
        return {key: replies[at][start:end] for key, (at, start, end) in self._groups[group].items()}


def merge_reads(groups: Sequence[tuple[Sequence[bytes], Iterable[bytes | None]]]) -> MergedReads:
    """One HMGET for each distinct key, over the fields of all groups that ask for it.

    groups: (hash fields, keys); a key may repeat, and None (no such entity can exist) asks for nothing.
    """
    wanted: dict[bytes, int] = {}
    asked: list[dict[bytes, None]] = []
    for group, (_, keys) in enumerate(groups):
        distinct = dict.fromkeys(key for key in keys if key is not None)
        asked.append(distinct)
        for key in distinct:
            wanted[key] = wanted.get(key, 0) | 1 << group
    layouts = {mask: _layout(mask, groups) for mask in set(wanted.values())}
    places = {key: place for place, key in enumerate(wanted)}
    return MergedReads(
        gets=tuple((key, layouts[mask][0]) for key, mask in wanted.items()),
        _groups=tuple(
            {key: (places[key], *layouts[wanted[key]][1][group]) for key in keys} for group, keys in enumerate(asked)
        ),
    )


def queue(pipe: Any, reads: MergedReads) -> None:
    """Put the commands into a redis-py pipeline, of either kind."""
    for key, fields in reads.gets:
        pipe.execute_command("HMGET", key, *fields)


def _layout(
    mask: int, groups: Sequence[tuple[Sequence[bytes], Iterable[bytes | None]]]
) -> tuple[tuple[bytes, ...], dict[int, tuple[int, int]]]:
    """All fields of the groups in `mask`, and where each group's begin and end."""
    fields: list[bytes] = []
    ranges = {}
    for group, (names, _) in enumerate(groups):
        if mask >> group & 1:
            ranges[group] = (len(fields), len(fields) + len(names))
            fields.extend(names)
    return tuple(fields), ranges
