"""How two environments differ, ranked by what can change a number. Pure.

`arithmetic` comes first: what computes. The same model on the same row can then answer another number, mostly in the
last bits, seldom by more. In its order:

1. numpy, scikit-learn, scipy: they are the model's own arithmetic, and their releases change algorithms on purpose;
2. BLAS and OpenMP, their versions and kernels: another order of the same additions is another sum;
3. thread counts: a sum that is split among more threads is added up in another order;
4. variables that choose kernels, the processor's features, its architecture: as 2, chosen by the machine;
5. the C library and Python (but for a patch release): `exp`, `log`, `pow`; Python 3.12 changed `sum` of floats;
6. pandas, pyarrow, duckdb, skops: they bring the values and load the model, and compute little of their own.

`text and time` is what parses, sorts and dates: it changes a feature only through code that depends on it. `rest` is
what is worth knowing and changes no number by itself: the number of processors and the variables that set threads get
there only through thread counts, and those are compared. A thread variable is therefore arithmetic only where they
differ: a server that fixes one thread answers as training did that was told to use one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from trueup.models.environment import Environment, Package, ThreadPool
from trueup.wording import counted

Tier = Literal["arithmetic", "text and time", "rest"]

UNKNOWN = "unknown"
"""What stands for the value of a side that does not know it."""

_RANKING: tuple[tuple[str, Tier], ...] = (
    ("package numpy", "arithmetic"),
    ("package scikit-learn", "arithmetic"),
    ("package scipy", "arithmetic"),
    ("thread pool", "arithmetic"),
    ("threads", "arithmetic"),
    ("variable", "arithmetic"),
    ("CPU features", "arithmetic"),
    ("machine", "arithmetic"),
    ("C library", "arithmetic"),
    ("Python", "arithmetic"),
    ("package pandas", "arithmetic"),
    ("package pyarrow", "arithmetic"),
    ("package duckdb", "arithmetic"),
    ("package skops", "arithmetic"),
    ("locale", "text and time"),
    ("encoding", "text and time"),
    ("time zone", "text and time"),
    ("hash seed", "text and time"),
    ("text variable", "text and time"),
    ("package", "rest"),
    ("Python patch", "rest"),
    ("thread variable", "rest"),
    ("CPUs", "rest"),
    ("operating system", "rest"),
    ("image", "rest"),
)
"""Kinds of parts, first what can change most numbers, and the tier of each."""
_RANKS = {kind: rank for rank, (kind, _) in enumerate(_RANKING)}
_DIGITS = 12
"""Hex digits of a content hash that are shown."""


@dataclass(frozen=True)
class Difference:
    """One part of which the two sides have different values.

    rank: 0 is what can change most numbers; parts of one kind share it. a, b: as text; None where that side has no such
    part (not installed, not set).
    """

    part: str
    tier: Tier
    rank: int
    a: str | None
    b: str | None

    def __str__(self) -> str:
        """`package numpy: 2.4.5 -> 2.4.6`."""
        return f"{self.part}: {self.a or 'none'} -> {self.b or 'none'}"


@dataclass(frozen=True)
class EnvironmentDiff:
    """Both by rank. unknown: parts that a side, or both, do not know: neither different nor equal."""

    differences: tuple[Difference, ...]
    unknown: tuple[Difference, ...]

    def __bool__(self) -> bool:
        """Whether anything is known to differ."""
        return bool(self.differences)

    @property
    def arithmetic(self) -> EnvironmentDiff:
        """Of what can change a number alone."""
        differences, unknown = (
            tuple(each for each in parts if each.tier == "arithmetic") for parts in (self.differences, self.unknown)
        )
        return EnvironmentDiff(differences, unknown)

    def to_json(self) -> dict[str, Any]:
        return {
            "differences": [asdict(each) for each in self.differences],
            "unknown": [asdict(each) for each in self.unknown],
        }


def diff(a: Environment, b: Environment) -> EnvironmentDiff:
    """From `a` to `b`. Turned around it is the same with the values of each difference exchanged."""
    found = [each for field in fields(Environment) for each in _COMPARED[field.name](a, b)]
    ranked = sorted(found, key=lambda each: (each.rank, each.part))
    return EnvironmentDiff(
        tuple(each for each in ranked if UNKNOWN not in (each.a, each.b)),
        tuple(each for each in ranked if UNKNOWN in (each.a, each.b)),
    )


def unknown_text(found: EnvironmentDiff, most: int = 4) -> str:
    """`2 parts are not known: CPU features, package scipy contents`; empty when everything is. most: parts it names."""
    parts = [each.part for each in found.unknown]
    named = [*parts[:most], *([f"{len(parts) - most} more"] if len(parts) > most else [])]
    verb = "is" if len(parts) == 1 else "are"
    return f"{counted(len(parts), 'part')} {verb} not known: {', '.join(named)}" if parts else ""


_Compare = Callable[[Environment, Environment], Iterable[Difference]]


def _part(kind: str, a: str | None, b: str | None, *, name: str | None = None) -> Iterator[Difference]:
    """None for a side without the part. name: of the part; its kind by default."""
    if a != b or a == UNKNOWN:
        rank = _RANKS[kind]
        yield Difference(name or kind, _RANKING[rank][1], rank, a, b)


def _field(kind: str, name: str) -> _Compare:
    """Compares one field as text; None is unknown."""

    def value(environment: Environment) -> str:
        found = getattr(environment, name)
        return UNKNOWN if found is None else str(found)

    return lambda a, b: _part(kind, value(a), value(b))


def _python(a: Environment, b: Environment) -> Iterator[Difference]:
    same_but_patch = a.python.rpartition(".")[0] == b.python.rpartition(".")[0]
    return _part("Python patch" if same_but_patch else "Python", a.python, b.python, name="Python")


def _image(a: Environment, b: Environment) -> Iterator[Difference]:
    return _if_told("image", a.image, b.image)


def _if_told(kind: str, a: str | None, b: str | None, *, name: str | None = None) -> Iterator[Difference]:
    """Of what most have not (an image, a version of OpenMP): where neither side names one, there is nothing to say."""
    if a is not None or b is not None:
        yield from _part(kind, a or UNKNOWN, b or UNKNOWN, name=name)


def _cpu_features(a: Environment, b: Environment) -> Iterator[Difference]:
    """What each side has and the other has not."""
    if a.cpu_features is None or b.cpu_features is None:
        mine, theirs = (UNKNOWN if side is None else " ".join(side) for side in (a.cpu_features, b.cpu_features))
        return _part("CPU features", mine, theirs)
    mine, theirs = (
        " ".join(name for name in side if name not in other)
        for side, other in ((a.cpu_features, b.cpu_features), (b.cpu_features, a.cpu_features))
    )
    return _part("CPU features", mine or None, theirs or None)


def _packages(a: Environment, b: Environment) -> Iterator[Difference]:
    of_a, of_b = ({item.name: item for item in side.packages} for side in (a, b))
    for name in sorted(of_a.keys() | of_b.keys()):
        yield from _package(f"package {name}", of_a.get(name), of_b.get(name))


def _package(name: str, a: Package | None, b: Package | None) -> Iterator[Difference]:
    """Of one version on both sides, the contents count."""
    kind = name if name in _RANKS else "package"
    if a is None or b is None or a.version != b.version:
        yield from _part(kind, a.version if a else None, b.version if b else None, name=name)
        return
    mine, theirs = (UNKNOWN if side.hash is None else side.hash[:_DIGITS] for side in (a, b))
    yield from _part(kind, mine, theirs, name=f"{name} contents")


def _thread_pools(a: Environment, b: Environment) -> Iterator[Difference]:
    for mine, theirs in _paired(a.thread_pools, b.thread_pools):
        yield from _thread_pool(mine, theirs)


def _paired(
    a: Iterable[ThreadPool], b: Iterable[ThreadPool]
) -> Iterator[tuple[ThreadPool, ThreadPool] | tuple[ThreadPool, None] | tuple[None, ThreadPool]]:
    """Each with the one most like it. NumPy and SciPy bring a BLAS each, often under one name."""
    left, right = sorted(a, key=_sorted_by), sorted(b, key=_sorted_by)
    for alike in _LIKENESS:
        for mine in tuple(left):
            theirs = next((pool for pool in right if alike(pool) == alike(mine)), None)
            if theirs is not None:
                left.remove(mine)
                right.remove(theirs)
                yield mine, theirs
    yield from ((pool, None) for pool in left)
    yield from ((None, pool) for pool in right)


_LIKENESS: tuple[Callable[[ThreadPool], object], ...] = (
    lambda pool: pool,
    lambda pool: (pool.api, pool.library, pool.version),
    lambda pool: (pool.api, pool.library),
)
"""What two pools share, the most first."""


def _sorted_by(pool: ThreadPool) -> tuple[str, str, int]:
    return pool.version or "", pool.architecture or "", pool.threads


def _thread_pool(a: ThreadPool | None, b: ThreadPool | None) -> Iterator[Difference]:
    if a is not None and b is not None:
        version = f" {a.version}" if a.version is not None and a.version == b.version else ""
        name = f"{_library(a)}{version}"
        yield from _if_told("thread pool", a.version, b.version, name=f"{name} version")
        yield from _if_told("thread pool", a.architecture, b.architecture, name=f"{name} kernels")
        yield from _part("threads", str(a.threads), str(b.threads), name=f"{name} threads")
    elif a is not None:
        yield from _part("thread pool", _described(a), None, name=_library(a))
    elif b is not None:
        yield from _part("thread pool", None, _described(b), name=_library(b))


def _library(pool: ThreadPool) -> str:
    return f"{pool.api} {pool.library}"


def _described(pool: ThreadPool) -> str:
    return " ".join([*filter(None, (pool.version, pool.architecture)), f"({counted(pool.threads, 'thread')})"])


def _variables(a: Environment, b: Environment) -> Iterator[Difference]:
    of_a, of_b = dict(a.variables), dict(b.variables)
    same_threads = _threads(a) == _threads(b)
    for name in sorted(of_a.keys() | of_b.keys()):
        only_threads = name.endswith("_THREADS")
        kind = "thread variable" if only_threads and same_threads else "variable"
        yield from _part(kind, of_a.get(name), of_b.get(name), name=name)


def _text_variables(a: Environment, b: Environment) -> Iterator[Difference]:
    """They choose what locale, encoding and time zone are the effect of, and more that a program may ask for."""
    if a.text_variables is None or b.text_variables is None:
        mine, theirs = (
            UNKNOWN if side is None else " ".join(f"{name}={value}" for name, value in side) or None
            for side in (a.text_variables, b.text_variables)
        )
        return _part("text variable", mine, theirs, name="variables of text and time")
    return _each_text_variable(dict(a.text_variables), dict(b.text_variables))


def _each_text_variable(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(a.keys() | b.keys()):
        yield from _part("text variable", a.get(name), b.get(name), name=name)


def _threads(environment: Environment) -> Mapping[tuple[str, str], int]:
    """How many threads each kind of library has in all."""
    found: Counter[tuple[str, str]] = Counter()
    for pool in environment.thread_pools:
        found[pool.api, pool.library] += pool.threads
    return found


def _locale(a: Environment, b: Environment) -> Iterator[Difference]:
    """By category where the C library names them: mostly one of twelve differs."""
    of_a, of_b = _categories(a.locale), _categories(b.locale)
    if not (of_a or of_b):
        yield from _part("locale", a.locale, b.locale)
    for name in sorted(of_a.keys() | of_b.keys()):
        mine, theirs = (of.get(name) if of else side.locale for of, side in ((of_a, a), (of_b, b)))
        yield from _part("locale", mine, theirs, name=f"locale {name}")


def _categories(locale: str) -> dict[str, str]:
    """Empty for a locale that is the same in all of them."""
    return dict(item.split("=", 1) for item in locale.split(";") if "=" in item)


_COMPARED: Mapping[str, _Compare] = {
    "python": _python,
    "os": _field("operating system", "os"),
    "libc": _field("C library", "libc"),
    "machine": _field("machine", "machine"),
    "cpus": _field("CPUs", "cpus"),
    "cpu_features": _cpu_features,
    "packages": _packages,
    "thread_pools": _thread_pools,
    "variables": _variables,
    "text_variables": _text_variables,
    "locale": _locale,
    "encoding": _field("encoding", "encoding"),
    "time_zone": _field("time zone", "time_zone"),
    "hash_seed": _field("hash seed", "hash_seed"),
    "image": _image,
}
"""How each field of an environment is compared: every one of them is."""
