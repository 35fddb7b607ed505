"""Evidence about the model and what it learned from: one pure function of `Facts` for each item."""

from __future__ import annotations

import numpy as np

from trueup.gate.auc import auc_difference
from trueup.gate.evidence import Outcome
from trueup.gate.facts import Facts, ReproductionFacts, Unknown
from trueup.gate.said import Said, cells_said, few
from trueup.parity.results import ExpectationResult, Result, joint_verdict
from trueup.parity.suite import SUITE_FILE
from trueup.wording import counted


def contract(facts: Facts) -> Said:
    """The registry's feature service is what the candidate learned on."""
    if isinstance(facts.live, Unknown):
        return "could not run", facts.live.why
    trained = facts.card.contract
    if differences := trained.diff(facts.live):
        said = (
            f"the registry's {trained.service} is not what it was trained on, in "
            f"{counted(len(differences), 'part')}: {few([str(each) for each in differences])}."
        )
        return "fail", said
    return (
        "pass",
        f"{trained.service}@{trained.hash[:12]}: all {counted(len(trained.columns), 'feature')} are the registry's.",
    )


def snapshot(facts: Facts) -> Said:
    """The training snapshot is there, whole, and the one that the candidate's card names."""
    found, card = facts.snapshot, facts.card
    if isinstance(found, Unknown):
        return "could not run", found.why
    if found.problems:
        said = f"{counted(len(found.problems), 'problem')} in snapshot {found.id[:12]}: {few(found.problems)}"
        return "fail", said
    if card.adopted is not None:
        said = f"not known: adopted. Whether {card} was trained from {found.id[:12]} is what somebody said of it."
        return "could not run", said
    if (found.id, found.content) != (card.snapshot, card.dataset):
        said = (
            f"the card names snapshot {str(card.snapshot)[:12]} of content {str(card.dataset)[:12]}; found "
            f"{found.id[:12]} of content {found.content[:12]}."
        )
        return "fail", said
    return "pass", f"{found.id[:12]}: {found.rows:,} rows in {found.bytes:,} bytes, every one as its manifest says."


def reproduced(facts: Facts) -> Said:
    """`trueup reproduce` made the same model again: bit-identical, or within its tolerance tier."""
    found = facts.reproduction
    if isinstance(found, Unknown):
        return "could not run", found.why
    again = f"Ask again: trueup reproduce {facts.card.name}/{facts.card.version}"
    if changed := [name for name, digest in facts.files.items() if found.files.get(name) != digest]:
        return "could not run", f"{', '.join(changed)} changed since it was reproduced at {found.at}. {again}."
    kept, detail = found.kept
    if kept == "different":
        return "fail", f"the model that lies in the store is not the one that was trained: {detail}."
    if found.verdict not in ("bit-identical", "within tolerance"):
        why = f"; it differs by {', '.join(found.culprits)}" if found.culprits else ""
        return "fail", f"trained again at {found.at}: {found.verdict}{why}."
    if kept != "bit-identical":
        return "could not run", f"its kept model was not looked at when it was reproduced ({detail}). {again}."
    return "pass", f"trained again at {found.at}: {found.verdict}."


def metric(facts: Facts) -> Said:
    """AUC on the candidate's holdout, not below the champion's by more than the noise band.

    A model that learned from values nobody knew yet fails: no server has them. The band is that of chance among the
    rows (see `auc`), or that of the seeds where `trueup reproduce --seeds` found a wider one.
    """
    found = facts.holdout
    if isinstance(found, Unknown):
        return "could not run", found.why
    rows = len(found.positive)
    for name, predictions in ((str(facts.card), found.candidate), (found.champion_name, found.champion)):
        if predictions is not None and (wrong := int((~np.isfinite(predictions)).sum())):
            verdict: Outcome = "fail" if predictions is found.candidate else "could not run"
            return verdict, f"{name} predicts no finite number for {wrong:,} of {counted(rows, 'holdout row')}."
    champion = found.candidate if found.champion is None else found.champion
    try:
        auc = auc_difference(found.positive, found.candidate, champion)
    except ValueError as error:
        return "could not run", f"the holdout has {error}."
    on = f"AUC {auc.a:.4f} on {counted(rows, 'holdout row')}"
    if facts.card.rule.known_at == "unbounded":
        own = f", {facts.card.metrics['auc']:.4f} as it was trained" if "auc" in facts.card.metrics else ""
        return "fail", f"it learned from values nobody knew yet (known_at unbounded): {on} as a server has them{own}."
    if found.champion is None and auc.a <= 0.5:
        return "fail", f"{on}: no better than chance."
    if found.champion is None:
        return "pass", f"{on}; no model to compare with has the alias yet."
    if found.champion_name == str(facts.card):
        return "pass", f"{on}; it has the alias itself."
    again = facts.reproduction
    band, of = auc.band, "DeLong, one-sided 95 %"
    if isinstance(again, ReproductionFacts) and again.seed_band is not None and again.seed_band > band:
        band, of = again.seed_band, f"what {again.seeds} seeds alone differ by, one-sided 95 %"
    note = f"; {found.champion_name} {found.note}" if found.note else ""
    said = (
        f"AUC {auc.a:.4f}, {found.champion_name} has {auc.b:.4f} on the same {counted(rows, 'holdout row')}: "
        f"{auc.a - auc.b:+.4f}, noise band {band:.4f} ({of}){note}."
    )
    if auc.b - auc.a > band:
        return "fail", said
    if band > facts.budget.auc_band:
        return "could not run", f"{said} A band over {facts.budget.auc_band:g} decides nothing: use a larger holdout."
    return "pass", said


def transforms(facts: Facts) -> Said:
    """Each on-demand view gives a row the same value alone, in a batch and in any order."""
    found = facts.transforms
    if isinstance(found, Unknown):
        return "could not run", found.why
    if not found:
        return "pass", f"{facts.card.contract.service} has no on-demand view."
    cells = [result for result in found if isinstance(result, Result)]
    verdict = joint_verdict(found)
    if verdict != "pass":
        because = [f"{each.subject}: {cells_said(each)}" for each in cells if each.verdict == verdict]
        return verdict, f"{counted(len(because), 'on-demand view')} of {len(found)}: {few(because)}."
    values = sum(each.compared for each in cells)
    return "pass", f"{counted(len(found), 'on-demand view')}, {counted(values, 'value')}: each the same bits every way."


def expectations(facts: Facts) -> Said:
    """The Great Expectations suite kept with the candidate holds on its own holdout."""
    if isinstance(facts.expectations, Unknown):
        return "could not run", facts.expectations.why
    found = facts.expectations.found
    assert isinstance(found, ExpectationResult)
    if found.failed:
        because = [f"{item.feature or 'columns'}: {item.kind}" for item in found.failed]
        said = (
            f"{len(because)} of {counted(len(found.expectations), 'expectation')} fail on "
            f"{counted(found.rows, 'holdout row')}: {few(because)}."
        )
        return "fail", said
    if found.verdict != "pass":
        return "could not run", found.problem or f"nothing was expected of {counted(found.rows, 'holdout row')}."
    if not facts.expectations.as_made:
        said = f"{SUITE_FILE} is not what training makes of this snapshot: it was changed, or is an older trueup's."
        return "fail", said
    return "pass", f"{counted(len(found.expectations), 'expectation')} hold on {counted(found.rows, 'holdout row')}."


def golden(facts: Facts) -> Said:
    """Predictions recorded at training come out the same in this environment, bit for bit."""
    found = facts.golden
    if isinstance(found, Unknown):
        return "could not run", found.why
    if not found.as_drawn:
        return "fail", "the recorded rows are not those that training draws of this holdout: the file was changed."
    recorded, replayed = found.recorded.predictions, found.replayed
    if not len(recorded) or len(recorded) != len(replayed):
        return "could not run", f"{counted(len(recorded), 'prediction')} recorded, {len(replayed):,} replayed."
    differing = np.flatnonzero(recorded.view(np.uint64) != replayed.view(np.uint64))
    if not len(differing):
        return "pass", f"{counted(len(recorded), 'prediction')} recorded at training: the same bits here."
    row = int(differing[np.argmax(np.abs(recorded[differing] - replayed[differing]))])
    said = (
        f"{len(differing):,} of {counted(len(recorded), 'prediction')} differ from training's, most in row {row}: "
        f"{float(recorded[row])!r} then, {float(replayed[row])!r} here."
    )
    return "fail", said
