"""The verdict of a version, read from the store it is registered in. Light: a server asks it when it loads a model."""

from __future__ import annotations

from collections.abc import Mapping

from trueup.gate.keys import VerifyKey
from trueup.gate.standing import Kept, standing
from trueup.models.tracking import Registered, Tracking


def standing_of(
    tracking: Tracking,
    version: Registered,
    alias: str,
    key: VerifyKey,
    *,
    tags: Mapping[int, Mapping[str, str]] | None = None,
    files: Mapping[str, str] | None = None,
) -> Kept:
    """The verdict that lets a version have an alias now.

    tags: of all versions of the model, where they were read. files: digests of the version's files, where they were
    taken (`Tracking.file_digests`).

    Raises GateError when there is none (see `standing`), ModelError when there is no such version.
    """
    found = tracking.version_tags(version.name) if tags is None else tags
    return standing(
        found.get(version.version, {}),
        key,
        model=version.name,
        version=version.version,
        alias=alias,
        files=tracking.file_digests(version.name, version.version) if files is None else files,
    )
