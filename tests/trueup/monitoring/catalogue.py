"""The catalogue of metrics, read of the tables in monitoring/README.md: what a query may name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

README = Path(__file__).parents[3] / "platform" / "trueup" / "monitoring" / "README.md"
OF_THE_TARGET = frozenset({"job", "instance"})
"""Prometheus gives these to every series it scrapes."""
HISTOGRAM = {"_bucket": frozenset({"le"}), "_count": frozenset[str](), "_sum": frozenset[str]()}


def catalogue() -> dict[str, frozenset[str]]:
    """Name -> labels, as Prometheus has them: a histogram is three names, `..._low` stands for the first with it."""
    found = {"up": OF_THE_TARGET}
    for line in README.read_text().splitlines():
        if not line.startswith("| `trueup_"):
            continue
        cell, label_cell = line.split("|")[1:3]
        names: list[str] = []
        for name in re.findall(r"`([\w.]+)`", cell):
            names.append(name if name.startswith("trueup_") else f"{names[0]}_{name.rsplit('_', 1)[-1]}")
        # Of several metrics a line, each may have labels of its own; values are in brackets.
        groups = [
            frozenset(re.findall(r"\w+", group)) | OF_THE_TARGET
            for group in re.sub(r"\([^)]*\)", "", label_cell).split(";")
        ]
        for name, labels in zip(names, groups * len(names) if len(groups) == 1 else groups, strict=True):
            if "(histogram)" in cell:
                found |= {name + end: labels | more for end, more in HISTOGRAM.items()}
            else:
                found[name] = labels
    return found


def unknown(expr: str, known: Mapping[str, Collection[str]], legend: str = "") -> set[str]:
    """What a query names that is not in the catalogue: metrics, their labels in selectors, and labels that it groups by
    or that its legend shows. A wrong label in Prometheus is no error: it matches nothing."""
    wrong = set()
    of_all: set[str] = set()
    metrics = re.findall(r"\b(trueup[_:][\w:]+|up)\b(?:\{((?:\"[^\"]*\"|[^}\"])*)\})?", expr)
    for name, selector in metrics:
        if name not in known:
            wrong.add(name)
            continue
        of_all |= set(known[name])
        wrong |= {
            f"{name}.{label}"
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", _bare(selector))
            if label not in known[name]
        }
    grouped = re.findall(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)", _bare(expr))
    named = {label for group in grouped for label in re.findall(r"\w+", group)} | set(re.findall(r"{{(\w+)}}", legend))
    return (wrong | (named - of_all)) if metrics else {expr}


def _bare(text: str) -> str:
    """Without what is quoted."""
    return re.sub(r'"[^"]*"', '""', text)
