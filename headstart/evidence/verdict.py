"""The transfer verdict: helped, harmed, or no evidence.

Estimand: the expected difference, over training seeds and over rows like those of the test split, in the
task's score between the transfer arm and the baseline arm. The score is the outcome's own: accuracy for
classify, closeness for ordinal, R2 for regress, AUROC for tag. The baseline is the from-scratch twin or the
simple champion, whichever has the higher mean validation score over its seeds; the test rows have no say in
the choice.

Interval: seeds of either arm crossed with the shared test rows (groups where given), by unbiased
components of variance, Student's t with Satterthwaite's degrees of freedom, and two pseudo-rows after
Agresti and Min (2005) for small tests; the formula stands in `_paired.py`.

A simple model that scores higher on the test rows than the transfer is named beside the verdict, whichever
baseline was chosen and though the interval may hold 0.

helped: the 95 % interval lies above 0; harmed: below 0; otherwise no evidence, and the smallest
difference that would have been seen with 80 % power, (t_0.975 + t_0.8) x standard error, is said.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.core.evidence import Arm, Case, Exhibit, Finding, Measure
from headstart.evidence import _paired
from headstart.evidence._interval import error_bounds, ordinal
from headstart.evidence._scores import alike, estimate, scores

NEEDS = ("scratch", "champion")
OUTCOMES = ("any",)

_BASELINES = ("scratch", "champion")
OTHER = (
    " Try another source before this model is used ('headstart sources' lists them), or train the network "
    "that did better: --strategy from_scratch."
)


def check(case: Case) -> Finding:
    """Compares the transfer arm with the baseline chosen on validation."""
    reason = case.score.undefined(np.asarray(case.targets))
    if reason:
        return Finding("verdict", missing=(("transfer gain", reason),))
    role = baseline_role(case)
    if role is None:
        return Finding(
            "verdict", _arm_scores(case), (), (("transfer gain", "no baseline was trained"),)
        )
    if _paired.single(ordinal(case.groups)):
        reason = "all test rows are one group, so no interval can be given"
        return Finding("verdict", _arm_scores(case), (), (("transfer gain", reason),))
    gain = _gain(case, role)
    baseline = case.arms[role]
    others = [r for r in case.arms if r not in ("transfer", role)]
    measures = [
        _gain_measure(case, role, gain, name="transfer gain"),
        _detectable(case, role, gain),
        *(
            _gain_measure(case, r, _gain(case, r), name="gain over another arm (no claim is drawn)")
            for r in others
        ),
        *_arm_scores(case),
    ]
    missing = [
        (f"gain over {r}", f"no {r} arm was trained") for r in _BASELINES if r not in case.arms
    ]
    ratio = _flops_ratio(case.arms["transfer"], baseline)
    if ratio is None:
        missing.append(("training compute ratio", "the FLOPs of an arm were not counted"))
    else:
        measures.append(ratio)
    return Finding("verdict", tuple(measures), (_sentence(case, role, gain),), tuple(missing))


def verdict_of(finding: Finding) -> str:
    """The verdict's word: helped, harmed, no evidence; or not measured."""
    for exhibit in finding.exhibits:
        if exhibit.name == "verdict":
            return str(exhibit.data["verdict"])
    return "not measured"


def baseline_role(case: Case) -> str | None:
    """Role of the baseline with the higher mean validation score; None without any.

    Where they tie it is the from-scratch twin.
    """
    present = [role for role in _BASELINES if role in case.arms]

    def standing(role: str) -> float:
        known = np.asarray(case.arms[role].validation, dtype=np.float64)
        known = known[np.isfinite(known)]
        return float(known.mean()) if len(known) else -math.inf

    return max(present, key=standing) if present else None


def _gain(case: Case, role: str) -> _paired.Spread:
    """Spread of the difference transfer - role, in units of the score."""
    first, second = scores(case, case.arms["transfer"]), scores(case, case.arms[role])
    unit, most = case.score.step(first, second), 1.0 if case.score.points else math.inf
    return _paired.difference(first, second, groups=ordinal(case.groups), unit=unit, most=most)


def word(gain: _paired.Spread) -> str:
    """helped, harmed or no evidence, by where the interval lies."""
    low, high = gain.interval()
    return "helped" if low > 0 else "harmed" if high < 0 else "no evidence"


def _better(case: Case) -> str:
    """Role of the simple model that scores highest on the test rows, where that is above the transfer; or "".

    The twin is none: it is no smaller than the transfer, and the verdict speaks of it.
    """
    means = {role: float(scores(case, arm).mean()) for role, arm in case.arms.items()}
    own = means.pop("transfer")
    means.pop("scratch", None)
    best = max(means, key=lambda role: means[role], default="")
    return best if best and means[best] > own else ""


def _above(case: Case, better: str, role: str) -> str:
    """The simple model that scored higher, in words; "" where there is none."""
    if not better:
        return ""
    name, factor = case.arms[better].name, case.score.factor
    if better == role:
        return f" On these rows '{name}' scored higher."
    gain = _gain(case, better)
    digits, unit = (1, " points") if case.score.points else (3, f" in {case.score.name}")
    low, high = sorted(-factor * x for x in gain.interval())
    return (
        f" On these rows '{name}' scored higher, by {-factor * gain.value:.{digits}f}{unit} (95 % interval "
        f"{low:+.{digits}f} to {high:+.{digits}f})."
    )


def _method(case: Case, role: str) -> str:
    """How the interval was made, with what could not be measured, in words."""
    said = []
    for arm in (case.arms["transfer"], case.arms[role]):
        found = np.asarray(arm.outputs)
        if not arm.chance:
            said.append(f"'{arm.name}' draws nothing at random, so one training tells all")
        elif len(found) == 1:
            said.append(
                f"'{arm.name}' has one seed, so the spread of its seeds is not measured and not covered"
            )
        elif alike(found):
            said.append(f"'{arm.name}' gave the same outputs from each of {len(found)} seeds")
        else:
            said.append(f"'{arm.name}' has {len(found)} seeds")
    shared = "test rows"
    if case.groups is not None:
        shared = f"{len(np.unique(np.asarray(case.groups)))} groups of test rows"
    tried = [case.arms[r].name for r in _BASELINES if r in case.arms]
    chosen = f"; baseline chosen on validation among {', '.join(tried)}" if len(tried) > 1 else ""
    return (
        f"paired difference in {case.score.name}; interval over training seeds crossed with "
        f"shared {shared} (variance components, Satterthwaite t, Agresti-Min pseudo-rows); "
        f"{'; '.join(said)}{chosen}"
    )


def _gain_measure(case: Case, role: str, gain: _paired.Spread, *, name: str) -> Measure:
    """The difference as a measure, in points or in units of the score."""
    factor = case.score.factor
    low, high = gain.interval()
    return Measure(
        name=name,
        value=factor * gain.value,
        low=factor * low,
        high=factor * high,
        n=len(case.targets),
        unit=case.score.unit,
        baseline=case.arms[role].name,
        method=_method(case, role),
    )


def _detectable(case: Case, role: str, gain: _paired.Spread) -> Measure:
    """Smallest true difference that this design would have seen with 80 % power."""
    low, high = error_bounds(gain.detectable(), gain.df)
    factor = case.score.factor
    return Measure(
        name="detectable difference",
        value=factor * gain.detectable(),
        low=factor * low,
        high=factor * high,
        n=len(case.targets),
        unit=case.score.unit,
        baseline=case.arms[role].name,
        method="(t at 97.5 % + t at 80 %) x standard error of the transfer gain; "
        "interval: chi-square of that error",
        basis="inferred",
    )


def _arm_scores(case: Case) -> tuple[Measure, ...]:
    """Score of every arm over its seeds and the test rows, the transfer first."""
    found = []
    share = case.score.share
    known = share or not _paired.single(ordinal(case.groups))  # a share has Wilson's ends
    for role in sorted(case.arms, key=lambda r: r != "transfer"):
        arm = case.arms[role]
        value, low, high, method = estimate(scores(case, arm), ordinal(case.groups), share=share)
        if not arm.chance:
            method = f"nothing drawn at random; {method.removeprefix('one seed; ')}"
        found.append(
            Measure(
                name=case.score.name,
                value=value,
                low=low if known else None,
                high=min(high, 1.0) if known else None,
                n=len(case.targets),
                unit="share" if share or case.score.points else case.score.name,
                baseline="",
                method=method if known else "mean; no interval, for all test rows are one group",
                group=arm.name,
            )
        )
    return tuple(found)


def _flops_ratio(transfer: Arm, baseline: Arm) -> Measure | None:
    """Training FLOPs of the baseline over those of the transfer, one seed each; a ratio of counts."""
    if not (transfer.flops > 0 and baseline.flops > 0):
        return None
    return Measure(
        name="training compute ratio",
        value=baseline.flops / transfer.flops,
        low=None,
        high=None,
        n=1,
        unit="times",
        baseline=baseline.name,
        method="FLOPs to train one seed of the baseline over one seed of the transfer; counted",
    )


def _rows(case: Case) -> str:
    """How many test rows, and in how many groups where they are fewer."""
    rows = len(case.targets)
    groups = rows if case.groups is None else len(np.unique(np.asarray(case.groups)))
    return f"{rows} test rows" + (f" in {groups} groups" if groups < rows else "")


def _told(case: Case, told: str, seen: str) -> str:
    """The verdict's word with what was seen, also of a network that nothing was transferred to."""
    what, better, worse = "the transfer", "helped", "harmed"
    if case.facts.get("transferred") is False:
        what, better, worse = "training from scratch", "did better", "did worse"
    if told == "no evidence":
        return f"There is no evidence that {what} {better} or {worse}: {seen}."
    return f"{what.capitalize()} {better if told == 'helped' else worse}: {seen}."


def _sentence(case: Case, role: str, gain: _paired.Spread) -> Exhibit:
    """The verdict in words for somebody who knows the subject and not the statistics."""
    factor, told, arm = case.score.factor, word(gain), case.arms[role]
    low, high = (factor * x for x in gain.interval())
    digits, unit = (1, " points") if case.score.points else (3, f" in {case.score.name}")
    seen = (
        f"on {_rows(case)} its {case.score.words} differs from that of '{arm.name}' by "
        f"{factor * gain.value:+.{digits}f}{unit} (95 % interval {low:+.{digits}f} to {high:+.{digits}f})"
    )
    sentence = _told(case, told, seen)
    if told == "no evidence":
        seeds = " and seeds" if case.arms["transfer"].chance or arm.chance else ""
        sentence += (
            f" A difference smaller than about {factor * gain.detectable():.{digits}f}{unit} could not have "
            f"been seen with these rows{seeds}."
        )
    single = [a.name for a in (case.arms["transfer"], arm) if a.chance and len(a.outputs) == 1]
    if single:
        named = " and ".join(f"'{name}'" for name in single)
        sentence += f" The luck of training is not covered for {named}, trained once."
    if told == "harmed" and role == "scratch":
        sentence += OTHER
    better = _better(case)
    sentence += _above(case, better, role)
    if case.facts.get("pretrained") is False:
        sentence += " Nothing in this source is pretrained: what was compared are its features."
    if case.facts.get("transferred") is False:
        sentence += " Nothing was transferred: this network began with random weights."
    if arm.note:
        sentence += f" This holds within this budget: '{arm.name}' {arm.note.rstrip('.')}."
    data = {
        "verdict": told,
        "sentence": sentence,
        "within_budget": arm.note,
        "baseline": arm.name,
        "better": case.arms[better].name if better else "",
    }
    return Exhibit(name="verdict", kind="sentence", title="Did the transfer help?", data=data)
