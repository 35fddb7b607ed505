"""Laws of `diff`: nothing differs from itself, sides can be exchanged, every field counts, unknown is neither."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.models.environment import Environment, Package, ThreadPool
from trueup.models.environment_diff import UNKNOWN, Difference, EnvironmentDiff, diff, unknown_text

NUMPYS = ThreadPool("blas", "libscipy_openblas", "0.3.31", "Haswell", 1)
SCIPYS = ThreadPool("blas", "libscipy_openblas", "0.3.30", "Haswell", 1)
OPENMP = ThreadPool("openmp", "libgomp", None, None, 1)
BASE = Environment(
    python="CPython 3.11.7",
    os="Linux 6.1.0",
    libc="glibc 2.36",
    machine="x86_64",
    cpus=2,
    cpu_features=("X86_V2", "X86_V3"),
    packages=(Package("feast", "0.67.0", "f" * 64), Package("numpy", "2.4.6", "a" * 64)),
    thread_pools=(SCIPYS, NUMPYS, OPENMP),
    variables=(),
    text_variables=(("LANG", "C.UTF-8"),),
    locale="LC_CTYPE=C.UTF-8;LC_NUMERIC=C;LC_COLLATE=C",
    encoding="utf-8",
    time_zone="UTC/UTC (UTC+0)",
    hash_seed="random",
    image="sha256:1",
)

CHANGES: dict[str, tuple[Any, str, str]] = {
    "python": ("CPython 3.12.1", "Python", "arithmetic"),
    "os": ("Linux 6.2.0", "operating system", "rest"),
    "libc": ("glibc 2.41", "C library", "arithmetic"),
    "machine": ("aarch64", "machine", "arithmetic"),
    "cpus": (3, "CPUs", "rest"),
    "cpu_features": (("X86_V2",), "CPU features", "arithmetic"),
    "packages": ((BASE.packages[0], Package("numpy", "2.4.5", "b" * 64)), "package numpy", "arithmetic"),
    "thread_pools": (
        (SCIPYS, NUMPYS, replace(OPENMP, threads=2)),
        "openmp libgomp threads",
        "arithmetic",
    ),
    "variables": ((("NPY_DISABLE_CPU_FEATURES", "AVX2"),), "NPY_DISABLE_CPU_FEATURES", "arithmetic"),
    "text_variables": ((("LANG", "C.UTF-8"), ("TZ", "CET")), "TZ", "text and time"),
    "locale": ("LC_CTYPE=C.UTF-8;LC_NUMERIC=de_DE;LC_COLLATE=C", "locale LC_NUMERIC", "text and time"),
    "encoding": ("latin-1", "encoding", "text and time"),
    "time_zone": ("CET/CEST (UTC+1)", "time zone", "text and time"),
    "hash_seed": ("0", "hash seed", "text and time"),
    "image": ("sha256:2", "image", "rest"),
}
"""For each field: another value, the part it is, and its tier."""

_words = st.sampled_from(["a", "b", "c d"])
_versions = st.sampled_from(["1.0", "1.1"])
_maybe = st.none() | _words
_pools = st.builds(
    ThreadPool,
    api=st.sampled_from(["blas", "openmp"]),
    library=st.sampled_from(["one", "two"]),
    version=st.none() | _versions,
    architecture=_maybe,
    threads=st.integers(1, 2),
)
_environments = st.builds(
    Environment,
    python=st.sampled_from(["CPython 3.11.7", "CPython 3.11.8", "CPython 3.12.1", "PyPy 3.11.7"]),
    os=_words,
    libc=_maybe,
    machine=_words,
    cpus=st.integers(1, 2),
    cpu_features=st.none() | st.lists(_words, unique=True).map(tuple),
    packages=st.lists(
        st.builds(Package, name=st.sampled_from(["numpy", "feast", "new"]), version=_versions, hash=_maybe),
        unique_by=lambda item: item.name,
    ).map(tuple),
    thread_pools=st.lists(_pools, unique=True, max_size=4).map(tuple),
    variables=st.dictionaries(st.sampled_from(["OMP_NUM_THREADS", "MKL_CBWR"]), _words).map(
        lambda found: tuple(sorted(found.items()))
    ),
    text_variables=st.none()
    | st.dictionaries(st.sampled_from(["LANG", "TZ"]), _words).map(lambda found: tuple(sorted(found.items()))),
    locale=st.sampled_from(["C", "de_DE", "LC_CTYPE=C;LC_TIME=C", "LC_CTYPE=C;LC_TIME=de_DE"]),
    encoding=_words,
    time_zone=_words,
    hash_seed=_words,
    image=_maybe,
)


def exchanged(found: EnvironmentDiff) -> EnvironmentDiff:
    def turned(parts: tuple[Difference, ...]) -> tuple[Difference, ...]:
        return tuple(replace(each, a=each.b, b=each.a) for each in parts)

    return EnvironmentDiff(turned(found.differences), turned(found.unknown))


def parts(found: tuple[Difference, ...]) -> list[tuple[str, str | None, str | None]]:
    return [(each.part, each.a, each.b) for each in found]


@given(_environments)
def test_nothing_differs_from_itself(a: Environment) -> None:
    found = diff(a, a)
    assert not found
    assert all((each.a, each.b) == (UNKNOWN, UNKNOWN) for each in found.unknown)


@given(_environments, _environments)
def test_the_other_way_round_it_is_the_same_with_the_values_exchanged(a: Environment, b: Environment) -> None:
    forth, back = exchanged(diff(a, b)), diff(b, a)
    for one, other in ((forth.differences, back.differences), (forth.unknown, back.unknown)):
        assert sorted(one, key=repr) == sorted(other, key=repr)
        assert [(each.rank, each.part) for each in one] == [(each.rank, each.part) for each in other]


@given(_environments, _environments)
def test_two_environments_without_a_difference_are_the_same_but_for_what_is_unknown(
    a: Environment, b: Environment
) -> None:
    found = diff(a, b)
    assert a.hash != b.hash or not found
    if not found and not found.unknown:
        same = replace(a, locale=b.locale, thread_pools=b.thread_pools, packages=b.packages, cpu_features=None)
        assert same == replace(b, cpu_features=None)


@given(_environments, _environments)
def test_what_can_change_numbers_comes_first(a: Environment, b: Environment) -> None:
    tiers = [each.tier for each in diff(a, b).differences]
    assert tiers == sorted(tiers, key=["arithmetic", "text and time", "rest"].index)
    assert len(diff(a, b).arithmetic.differences) == tiers.count("arithmetic")


def test_every_field_is_ranked() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Environment)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_any_field_is_one_difference_of_its_tier(name: str) -> None:
    value, part, tier = CHANGES[name]
    (found,) = diff(BASE, replace(BASE, **{name: value})).differences
    assert (found.part, found.tier) == (part, tier)


@pytest.mark.parametrize("changes", [{"version": "9"}, {"architecture": "Zen"}, {"threads": 9}, {"library": "x"}])
def test_a_change_of_any_field_of_a_thread_pool_is_found(changes: dict[str, Any]) -> None:
    assert {field.name for field in dataclasses.fields(ThreadPool)} == {
        "api", "library", "version", "architecture", "threads",
    }  # fmt: skip
    changed = replace(BASE, thread_pools=(SCIPYS, replace(NUMPYS, **changes), OPENMP))
    assert diff(BASE, changed).arithmetic


def test_the_order_is_by_what_can_change_most() -> None:
    changed = replace(BASE, **{name: value for name, (value, _, _) in CHANGES.items()})
    assert [each.part for each in diff(BASE, changed).differences] == [
        "package numpy",
        "openmp libgomp threads",
        "NPY_DISABLE_CPU_FEATURES",
        "CPU features",
        "machine",
        "C library",
        "Python",
        "locale LC_NUMERIC",
        "encoding",
        "time zone",
        "hash seed",
        "TZ",
        "CPUs",
        "operating system",
        "image",
    ]


def test_a_patch_release_of_python_is_not_arithmetic() -> None:
    (found,) = diff(BASE, replace(BASE, python="CPython 3.11.9")).differences
    assert found == Difference("Python", "rest", found.rank, "CPython 3.11.7", "CPython 3.11.9")


def test_two_libraries_of_one_name_are_paired_by_their_versions() -> None:
    other = replace(BASE, thread_pools=(replace(NUMPYS, threads=2), SCIPYS, OPENMP))
    assert parts(diff(BASE, other).differences) == [("blas libscipy_openblas 0.3.31 threads", "1", "2")]
    newer = replace(BASE, thread_pools=(NUMPYS, replace(SCIPYS, version="0.3.32"), OPENMP))
    assert parts(diff(BASE, newer).differences) == [("blas libscipy_openblas version", "0.3.30", "0.3.32")]


def test_another_blas_is_one_gone_and_one_come() -> None:
    mkl = ThreadPool("blas", "libmkl_rt", "2024.1", None, 2)
    other = replace(BASE, thread_pools=(SCIPYS, mkl, OPENMP))
    assert parts(diff(BASE, other).differences) == [
        ("blas libmkl_rt", None, "2024.1 (2 threads)"),
        ("blas libscipy_openblas", "0.3.31 Haswell (1 thread)", None),
    ]


def test_a_thread_variable_counts_as_arithmetic_only_where_thread_counts_differ() -> None:
    variables = (("OMP_NUM_THREADS", "1"),)
    (harmless,) = diff(BASE, replace(BASE, variables=variables)).differences
    assert (harmless.part, harmless.tier) == ("OMP_NUM_THREADS", "rest")
    more = replace(BASE, thread_pools=(SCIPYS, NUMPYS, replace(OPENMP, threads=2)))
    assert [each.part for each in diff(more, replace(BASE, variables=variables)).arithmetic.differences] == [
        "openmp libgomp threads",
        "OMP_NUM_THREADS",
    ]


def test_a_package_of_one_version_is_compared_by_its_contents() -> None:
    patched = replace(BASE, packages=(BASE.packages[0], Package("numpy", "2.4.6", "c" * 64)))
    (found,) = diff(BASE, patched).differences
    assert (found.part, found.a, found.b, found.tier) == (
        "package numpy contents",
        "a" * 12,
        "c" * 12,
        "arithmetic",
    )


def test_a_package_on_one_side_only_is_a_difference() -> None:
    assert parts(diff(BASE, replace(BASE, packages=BASE.packages[1:])).differences) == [
        ("package feast", "0.67.0", None)
    ]


def test_what_a_side_does_not_know_is_neither_different_nor_equal() -> None:
    packages = tuple(replace(item, hash=None) for item in BASE.packages)
    older = replace(BASE, cpu_features=None, packages=packages, image=None)
    found = diff(older, BASE)
    assert not found
    assert parts(found.unknown) == [
        ("package numpy contents", UNKNOWN, "a" * 12),
        ("CPU features", UNKNOWN, "X86_V2 X86_V3"),
        ("package feast contents", UNKNOWN, "f" * 12),
        ("image", UNKNOWN, "sha256:1"),
    ]
    assert unknown_text(found, most=2) == "4 parts are not known: package numpy contents, CPU features, 2 more"
    assert unknown_text(diff(BASE, BASE)) == ""


def test_where_neither_side_names_an_image_nothing_is_said_of_it() -> None:
    nowhere = replace(BASE, image=None)
    assert diff(nowhere, nowhere) == EnvironmentDiff((), ())


def test_a_locale_that_is_one_for_all_is_compared_with_each_category() -> None:
    assert parts(diff(BASE, replace(BASE, locale="C")).differences) == [("locale LC_CTYPE", "C.UTF-8", "C")]
    assert parts(diff(replace(BASE, locale="C"), replace(BASE, locale="de")).differences) == [("locale", "C", "de")]
