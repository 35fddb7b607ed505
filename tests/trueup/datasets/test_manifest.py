"""Laws of the manifest's form: it stands, it is read back, and its id is of what it says."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from tests.golden import snapshot as golden

from trueup.datasets.manifest import Manifest
from trueup.hashing import digest


def test_the_golden_manifest_stands() -> None:
    read = Manifest.from_bytes(golden.PATH.read_bytes())
    assert read.writer["pyarrow"] == pa.__version__, "pyarrow changed: python -m tests.golden.snapshot"
    assert golden.manifest() == golden.PATH.read_bytes()


def test_a_manifest_is_read_back_as_it_was_and_its_id_is_of_all_that_it_says() -> None:
    manifest = Manifest.from_bytes(golden.PATH.read_bytes())
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    said = {name: value for name, value in manifest.to_json().items() if name != "id"}
    assert digest(said) == manifest.id
    assert replace(manifest, content="0" * 64).id != manifest.id
