"""Numbers, results and verdicts in plain words, the same in every sink."""

from __future__ import annotations

import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trueup.instants import format_instant
from trueup.parity.causes import BY_NAME, UNEXPLAINED
from trueup.parity.policy import STRICT
from trueup.parity.report import Report
from trueup.parity.results import AnyResult, Drift, DriftResult, Expectation, ExpectationResult, Result, Verdict
from trueup.wording import counted

RULES: Mapping[str, str] = {
    "served": "what the online store held at the time",
    "label": "what was known at the time",
    "unbounded": "everything, known at the time or not",
}
"""What a model learned from, by its rule."""

SIDES: Mapping[str, tuple[str, str]] = {
    "served": ("served", "training"),
    "online": ("online", "source"),
    "replay": ("logged", "replayed"),
    "transforms": ("in batch", "one by one"),
}
"""What the two sides of a cell are called, by check."""

_UNEXPLAINED_MEANING = "No rule that was tried reproduces what was served."
_UNEXPLAINED_ADVICE = (
    "Start from the samples: look for what wrote the served value at its event time. It is none of the known causes, "
    "so treat it as a defect until it has a name."
)
_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms"), (1, "µs"))
_MICROSECOND = timedelta(microseconds=1)
_EXPONENT_FROM = 10_000_000
"""From here on a number is shown with an exponent."""


# ------------------------------------------------------------------ numbers, instants, text


def number(value: int) -> str:
    return f"{value:,}"


def percent(part: int, whole: int) -> str:
    """A share that never shows something as nothing, nor less than everything as everything."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if part == 0 or part == whole:
        return f"{share:.0f} %"
    if share < 0.01:
        return "< 0.01 %"
    if share > 99.99:
        return "> 99.99 %"
    return f"{share:.2f} %" if share < 10 or share > 99 else f"{share:.1f} %"


def figure(value: float) -> str:
    """A measured number to four significant digits."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value and not 0.0001 <= abs(value) < _EXPONENT_FROM:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def when(instant: datetime) -> str:
    """As a person reads it: `2013-11-01 12:00Z`, with seconds and less only where there are some."""
    text = format_instant(instant).replace("T", " ")
    return text.replace(":00Z", "Z") if text.endswith(":00Z") else text


def span(duration: timedelta) -> str:
    """A length of time in its two largest units that are not zero: `2 h 5 min`; days alone from a hundred on."""
    rest = abs(duration // _MICROSECOND)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {unit}")
        if len(parts) == 2 or (unit == "d" and count >= 100):
            break
    return " ".join(parts) or "0 s"


def offset(duration: timedelta) -> str:
    """Before or after: `-2 h`, `+20 min`, `±0`."""
    if not duration:
        return "±0"
    return f"{'-' if duration < timedelta() else '+'}{span(duration)}"


def visible(text: str) -> str:
    """The text with what moves a cursor, reorders a line or cannot be printed written out, such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(_escape(char) if _is_hidden(char) else char for char in text)


def _is_hidden(char: str) -> bool:
    """Joiners (U+200C, U+200D) are letters' business; every other format character can lead a reader astray."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\u200c\u200d"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


# ------------------------------------------------------------------ a report in a sentence


def headline(report: Report) -> str:
    """The verdict, as one would say it."""
    return " ".join(sentences(report))


def sentences(report: Report) -> list[str]:
    """The headline, sentence by sentence: a check each, and what could not be checked."""
    if all(result.verdict == "could not run" for result in report.results):
        return ["Nothing was compared."]
    said = [sentence for sentence in (_failed(report, check) for check in _FAILED) if sentence]
    if not said:
        allowed = any(result.mismatched for result in report.cells if result.verdict == "pass")
        said.append("All that differs is allowed." if allowed else "What was compared is as it should be.")
    broken = [result for result in report.results if result.verdict == "could not run"]
    named = list(dict.fromkeys(f"{result.label} ({result.check})" for result in broken))
    return [*said, f"{_few(named)} could not be checked."] if named else said


_FAILED: Mapping[str, tuple[str, str]] = {
    "served": ("{} was not served what training reads.", "{} were not served what training reads."),
    "online": ("The online store does not hold what it should: {}.",) * 2,
    "replay": ("{} does not give its logged predictions again.", "{} do not give their logged predictions again."),
    "transforms": ("{} is not row-wise.", "{} are not row-wise."),
    "distribution": ("{} is served other data than its reference.", "{} are served other data than their reference."),
    "expectations": ("{} was served rows against its expectations.", "{} were served rows against their expectations."),
}
"""What a failed check says of one subject, and of several."""


def _failed(report: Report, check: str) -> str:
    found = [result for result in report.results if result.check == check and result.verdict == "fail"]
    one, several = _FAILED[check]
    return (one if len({result.label for result in found}) == 1 else several).format(_all(found)) if found else ""


def figures(report: Report) -> str:
    """The numbers under the headline."""
    said = []
    compared, mismatched, unexplained = (
        sum(getattr(result, name) for result in report.cells) for name in ("compared", "mismatched", "unexplained")
    )
    if compared and not mismatched:
        said.append(f"All {number(compared)} compared values are the same.")
    elif compared:
        found = f"{number(mismatched)} of {number(compared)} compared values differ ({percent(mismatched, compared)})"
        rest = f"{number(unexplained)} of them have no known cause" if unexplained else "each has a cause"
        said.append(f"{found}; {rest}.")
    tested, drifted = (sum(len(getattr(result, name)) for result in report.drift) for name in ("features", "drifted"))
    if tested:
        said.append(f"{number(drifted)} of {counted(tested, 'tested distribution')} drifted.")
    held, failed = (
        sum(len(getattr(result, name)) for result in report.expectations) for name in ("expectations", "failed")
    )
    if held:
        said.append(f"{number(failed)} of {counted(held, 'expectation')} failed.")
    return " ".join(said) or "An empty comparison is not a pass."


# ------------------------------------------------------------------ a result


@dataclass(frozen=True)
class Line:
    """A result as a line of a table. against: the rule it was recomputed under. examined: how many of `unit`.

    found: how many of them are not as they should be. unexplained: None where nothing is to be explained.
    """

    check: str
    subject: str
    against: str
    verdict: Verdict
    rows: int
    examined: int
    unit: str
    found: int
    unexplained: int | None

    @property
    def share(self) -> str:
        return percent(self.found, self.examined)


def line(result: AnyResult) -> Line:
    examined, unit, found, unexplained = _sizes(result)
    return Line(
        check=result.check,
        subject=result.label,
        against=result.known_at or "-" if isinstance(result, Result) else "-",
        verdict=result.verdict,
        rows=result.rows,
        examined=examined,
        unit=unit,
        found=found,
        unexplained=unexplained,
    )


def _sizes(result: AnyResult) -> tuple[int, str, int, int | None]:
    if isinstance(result, DriftResult):
        return len(result.features), "feature", len(result.drifted), None
    if isinstance(result, ExpectationResult):
        return len(result.expectations), "expectation", len(result.failed), None
    return result.compared, "value", result.mismatched, result.unexplained


def told(result: AnyResult) -> str:
    """One result in a sentence or two."""
    if result.problem is not None:
        return result.problem
    if result.verdict == "could not run":
        return "Nothing was compared: " + (_reasons(result) or "there were no rows") + "."
    if isinstance(result, DriftResult):
        return _drift_told(result)
    if isinstance(result, ExpectationResult):
        return _expectations_told(result)
    if not result.mismatched:
        return f"All {number(result.compared)} values are the same."
    share = percent(result.mismatched, result.compared)
    said = f"{number(result.mismatched)} of {number(result.compared)} values differ ({share})"
    causes = ", ".join(f"{name} {number(count)}" for name, count in found_causes(result).items())
    allowed = " Its policy allows all of it." if result.verdict == "pass" else ""
    return f"{said}: {causes}.{allowed}"


def _drift_told(result: DriftResult) -> str:
    if not result.drifted:
        return f"None of {counted(len(result.features), 'feature')} drifted."
    return f"{len(result.drifted)} of {counted(len(result.features), 'feature')} drifted: {_few(result.drifted)}."


def _expectations_told(result: ExpectationResult) -> str:
    total = counted(len(result.expectations), "expectation")
    if not result.failed:
        return f"All {total} hold for {counted(result.rows, 'row')}."
    features = list(dict.fromkeys(each.feature or "the table" for each in result.failed))
    return f"{number(len(result.failed))} of {total} failed, of {_few(features)}."


def checked(result: AnyResult) -> str:
    """What the result is about."""
    if isinstance(result, DriftResult):
        return f"{result.current}, against {result.reference}" if result.current else "distribution"
    if isinstance(result, ExpectationResult):
        return f"served rows, against suite {result.suite}" if result.suite else "expectations"
    if result.check == "served":
        rule = RULES.get(result.known_at or "")
        return "served log" if rule is None else f"served log, against {rule}"
    return {
        "online": "online store, against what the ledger says it holds",
        "replay": "logged features through the registered model, against the logged predictions",
        "transforms": "on-demand view, batches against single rows",
    }[result.check]


def named_contract(result: AnyResult, contract: str) -> str:
    """contract: its hash, or the beginning. Of a view that was checked for itself there is no service to name."""
    return contract if result.service is None else f"{result.service}@{contract}"


def settled(result: Result) -> list[str]:
    """What counts as equal although it is not the same in every respect."""
    counts = result.counts
    lines = {
        "from an older row, same value": counts.stale_equal,
        "just being written by a run": result.during_materialization,
        "expired, not kept online": counts.forgotten,
        "within tolerance": counts.within_tolerance,
    }
    return [f"{number(count)} {what}" for what, count in lines.items() if count]


def left_out(result: AnyResult) -> list[str]:
    """What was not compared, by reason: rows, and values of single features."""
    return [f"{what} not compared: {reason}" for what, reason in _left_out(result)]


def terms(result: AnyResult) -> list[str]:
    """What its verdict goes by, where that is not simply `any mismatch fails` and there is one."""
    if isinstance(result, DriftResult):
        return [f"{name.replace('_', ' ')} {figure(value)}" for name, value in result.rates.items()]
    if isinstance(result, ExpectationResult) or result.policy == STRICT or not result.mismatched:
        return []
    policy = result.policy
    fails = [] if policy.fail_on is None else [f"fails on {', '.join(policy.fail_on) or 'no cause at all'}"]
    return fails + [f"allowed in {name}: {100 * share:.4g} % of its values" for name, share in policy.allowed.items()]


def found_causes(result: Result) -> dict[str, int]:
    """Cause -> cells, in the causes' order, `unexplained` last."""
    return {**result.by_cause, **({UNEXPLAINED: result.unexplained} if result.unexplained else {})}


def remedy(cause: str) -> tuple[str, str]:
    """What a cause means, and what to do next. A name that is not known (of a later version) has neither."""
    if cause == UNEXPLAINED:
        return _UNEXPLAINED_MEANING, _UNEXPLAINED_ADVICE
    known = BY_NAME.get(cause)
    return (known.meaning, known.advice) if known is not None else ("", "")


def causes_of(report: Report) -> dict[str, dict[str, int]]:
    """Each cause that was found -> label -> cells; the unexplained come first, then the causes' order."""
    found: dict[str, dict[str, int]] = {}
    for result in report.cells:
        for name, count in found_causes(result).items():
            of = found.setdefault(name, {})
            of[result.label] = of.get(result.label, 0) + count
    order = [UNEXPLAINED, *BY_NAME]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def exceeded(drift: Drift) -> list[str]:
    """The statistics of a feature that reach their limits, `psi 0.26 ≥ 0.03`, farthest above first."""
    found = [
        (value / limit if limit > 0 else math.inf, f"{name} {figure(value)} ≥ {limit_text(limit)}")
        for name, value in drift.distances.items()
        if (limit := drift.limits.get(name)) is not None and value >= limit
    ]
    return [text for _, text in sorted(found, key=lambda each: -each[0])]


def limit_text(limit: float) -> str:
    """A limit; the smallest number there is stands for anything at all."""
    return "any" if limit < sys.float_info.min else figure(limit)


def farthest(drift: Drift) -> str:
    """The statistic farthest above its threshold, and how many more there are."""
    found = exceeded(drift)
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return found[0] + more if found else "-"


def asserted(expectation: Expectation) -> str:
    """An expectation in a line: what, of which feature, with which arguments."""
    of = f" {expectation.feature}" if expectation.feature is not None else ""
    return f"{expectation.kind}{of}" + (f" ({expectation.arguments})" if expectation.arguments else "")


def _reasons(result: AnyResult) -> str:
    return ", ".join(f"{what}: {reason}" for what, reason in _left_out(result))


def _left_out(result: AnyResult) -> list[tuple[str, str]]:
    """How many of what, and why they were not compared."""
    noun = "feature" if isinstance(result, DriftResult) else "row"
    found = [(counted(count, noun), reason) for reason, count in result.uncompared.items()]
    if not isinstance(result, Result):
        return found
    values: dict[str, dict[str, int]] = {}
    for name, feature in result.features.items():
        for reason, count in feature.counts.uncompared.items():
            values.setdefault(reason, {})[name] = count
    return found + [
        (f"{counted(sum(of.values()), 'value')} of {_few(list(of))}", reason) for reason, of in values.items()
    ]


def _all(results: Sequence[AnyResult]) -> str:
    return _few(list(dict.fromkeys(result.label for result in results)))


def _few(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and 3 more`."""
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
