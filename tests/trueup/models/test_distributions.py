"""Laws of a distribution's content hash: one wheel, one hash, wherever it is installed; another file, another hash."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.models.distributions import content_hash, installed

WHEEL = [
    "pkg/__init__.py,sha256=aaa,10",
    '"pkg/a,b.so",sha256=bbb,999',
    "pkg-1.0.dist-info/METADATA,sha256=ccc,5",
    "pkg-1.0.dist-info/WHEEL,sha256=ddd,5",
]
BY_INSTALLERS = [
    "pkg/__pycache__/__init__.cpython-311.pyc,,",
    "pkg/stale.pyc,sha256=eee,4",
    "../../../bin/pkg,sha256=fff,200",
    "/usr/share/man/pkg.1,sha256=fff,200",
    "pkg-1.0.dist-info/INSTALLER,sha256=111,3",
    "pkg-1.0.dist-info/REQUESTED,sha256=222,0",
    "pkg-1.0.dist-info/direct_url.json,sha256=333,70",
    "pkg-1.0.dist-info/uv_cache.json,sha256=444,70",
    "pkg-1.0.dist-info/RECORD,,",
    "",
]


@given(added=st.lists(st.sampled_from(BY_INSTALLERS)), order=st.randoms(use_true_random=False))
def test_how_a_wheel_was_installed_changes_nothing(added: list[str], order: object) -> None:
    lines = [*WHEEL, *added]
    order.shuffle(lines)  # type: ignore[attr-defined]
    assert content_hash(lines) == content_hash(WHEEL)


@pytest.mark.parametrize(
    "patched",
    [
        [WHEEL[0].replace("aaa", "aab"), *WHEEL[1:]],
        [WHEEL[0].replace("__init__", "other"), *WHEEL[1:]],
        WHEEL[1:],
        [*WHEEL, "pkg/new.py,sha256=eee,1"],
        [*WHEEL, "pkg/INSTALLER,sha256=eee,1"],
    ],
)
def test_a_file_that_is_another_one_changes_it(patched: list[str]) -> None:
    assert content_hash(patched) != content_hash(WHEEL)


def test_what_lists_no_contents_has_no_hash() -> None:
    assert content_hash([]) is None
    assert content_hash(BY_INSTALLERS) is None


def test_a_distribution_that_is_installed_has_its_version_and_hash() -> None:
    found = installed("numpy")
    assert found is not None
    assert found[0] == version("numpy")
    assert len(found[1] or "") == 64
    assert installed("no-such-distribution") is None


def test_an_editable_install_has_no_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pkg-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: pkg-of-a-test\nVersion: 1.0\n")
    (folder / "RECORD").write_text("\n".join(WHEEL))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed("pkg") == ("1.0", content_hash(WHEEL))
    (folder / "direct_url.json").write_text('{"url": "file:///src", "dir_info": {}}')
    assert installed("pkg") == ("1.0", content_hash(WHEEL))
    (folder / "direct_url.json").write_text('{"url": "file:///src", "dir_info": {"editable": true}}')
    assert installed("pkg") == ("1.0", None)
