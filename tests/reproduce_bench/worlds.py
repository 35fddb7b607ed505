"""The worlds: what each trains, what is planted after it was reproduced, and which factor should be named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from tests.reproduce_bench import plants, second
from tests.reproduce_bench.site import Site


def _nothing(site: Site) -> Site:
    return site


@dataclass(frozen=True)
class World:
    """planted: the factor that is to be named; None: none is. prepare: before the commit. dirty: between commit and
    training. plant: after the run was reproduced. options: of the second reproduction. sources: trueup's own are in the
    tree. second: trained in an environment of its own, built from a lock with another scikit-learn.
    """

    name: str
    planted: str | None
    plant: Callable[[Site], Site] = _nothing
    prepare: Callable[[Site], Site] = _nothing
    dirty: Callable[[Site], Site] = _nothing
    options: tuple[str, ...] = ()
    sources: bool = False
    second: bool = False


def _with(**variables: str) -> Callable[[Site], Site]:
    return lambda site: replace(site, variables={**site.variables, **variables})


def _then(*acts: Callable[[Site], object]) -> Callable[[Site], Site]:
    """Each in turn; one that gives a site gives it to the next."""

    def all_of(site: Site) -> Site:
        for act in acts:
            done = act(site)
            site = done if isinstance(done, Site) else site
        return site

    return all_of


def _depends_on(what: str) -> Callable[[Site], Site]:
    return _then(lambda site: plants.depend_on(site, what))


def _edit(name: str, old: str, new: str) -> Callable[[Site], Site]:
    return _then(lambda site: site.edit(name, old, new))


def _oslo(row: dict[str, object]) -> bool:
    return row["site"] == "Oslo"


_RATE = ("return Pipeline([*steps", "classifier.set_params(learning_rate=0.3)\n        return Pipeline([*steps")
_FASTER = _edit(plants.FIT, *_RATE)
_RESTORE = _then(lambda site: site.git("checkout", "--quiet", "."))

WORLDS: tuple[World, ...] = (
    World("nothing", None),
    World(
        "one changed row",
        "data",
        _then(lambda site: plants.change_first(site, "facts", "kind", _oslo, lambda _: "depot")),
    ),
    World(
        "one changed answer",
        "data",
        _then(lambda site: plants.change_first(site, "orders", "late", plants.in_training, lambda late: not late)),
    ),
    World("a late row, created before it was read", "data", _then(lambda s: plants.late_load(s, timedelta(minutes=3)))),
    World("a late row, created after the pinned instant", None, _then(lambda site: plants.late_load(site, None))),
    World(
        "one changed line of feature SQL",
        "code",
        _then(
            lambda site: site.edit(
                "shop/load.sql", "  level,\n", "  CASE WHEN level > 0 THEN level ELSE 0 END AS level,\n"
            ),
            lambda site: site.apply_sql(),
        ),
    ),
    World("an uncommitted change of the training code, now", "code", _FASTER, sources=True),
    World("a dirty tree at training, clean since", "code", _RESTORE, dirty=_FASTER, sources=True),
    World("a dirty tree at training, as dirty now", None, dirty=_FASTER, sources=True),
    World(
        "a commit that changes a comment",
        None,
        _then(
            _edit(plants.FIT, "    # Without strings the", "    # With no strings the"),
            lambda site: site.commit("a comment"),
        ),
        sources=True,
    ),
    World("another seed", "seed", _edit("shop.toml", "seed = 11", "seed = 12")),
    World("another parameter", "recipe", _edit("shop.toml", "max_iter = 20", "max_iter = 21")),
    World(
        "more threads, where they matter",
        "threads",
        prepare=_depends_on("threads"),
        options=("--threads", "2"),
        sources=True,
    ),
    World(
        "another thread variable, where it matters",
        "threads",
        _with(OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2"),
        prepare=_depends_on("thread variable"),
        sources=True,
    ),
    World("more threads, where they do not", None, _with(OMP_NUM_THREADS="2"), options=("--threads", "2")),
    World(
        "another time zone, where it matters",
        "environment",
        _with(TZ="NPT-5:45"),
        prepare=_depends_on("time zone"),
        sources=True,
    ),
    World(
        "another locale, where it matters",
        "environment",
        _with(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        prepare=_depends_on("locale"),
        sources=True,
    ),
    World(
        "another hash seed, where it matters",
        "environment",
        _with(PYTHONHASHSEED="2"),
        prepare=_then(_with(PYTHONHASHSEED="1"), _depends_on("hash seed")),
        sources=True,
    ),
    World(
        "another scikit-learn, in a second environment",
        "environment",
        second.outside,
        options=("--environment", "build"),
        sources=True,
        second=True,
    ),
    World(
        "another time zone, locale and hash seed, where they do not",
        None,
        _with(TZ="EST5EDT,M3.2.0,M11.1.0", LC_ALL="C", PYTHONHASHSEED="3"),
    ),
)
