"""Rows that belong to none of the known classes: the detector that a run chooses and seals.

It looks at the source's own features and at a solved head on them, whatever the strategy: for these, scores
of rows that were not learned from are had by folds, at next to no cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart import arms
from headstart.arms import Fitted
from headstart.core.dataset import SetAside
from headstart.core.evidence import Outside
from headstart.core.ranking import area
from headstart.engine import scope as detectors
from headstart.engine.scope import Detector
from headstart.engine.solve import solve
from headstart.job import Job
from headstart.registry.packs import PackParts

INSIDE = 0.95  # share of held-out rows of known classes that the threshold lets in
FEW_FOLDS, MANY = 2, 200_000  # folds above so many rows times classes: heads take their time there
FIRST = detectors.DISTANCES[0]  # where no training row lies outside
PREFIX = "scope."


@dataclass(frozen=True)
class Guard:
    """What was chosen on training rows.

    Attributes:
        threshold: rows that score higher are marked as out of scope.
        label: what the task calls rows out of scope; "" where it names none.
        held: detector -> area under the ROC curve on held-out training rows; empty without rows outside.
        every: all detectors, fitted, for the evidence.
    """

    detector: Detector
    threshold: float
    label: str
    held: Mapping[str, float]
    every: tuple[Detector, ...] = field(default=(), repr=False)


def guard(made: Job, features: np.ndarray, transfer: Fitted) -> Guard | None:
    """The detector of a run that tells classes apart; None for other outcomes.

    Args:
        features: (rows, width) stored features of `made.train`.
        transfer: its strength serves the folds where its head was solved.
    """
    if made.outcome != "classify":
        return None
    outside = _outside(made)
    kinds = (*detectors.DISTANCES, *detectors.LOGITS) if made.plan.task.out_of_scope else (FIRST,)
    strength = transfer.settings.get("strength")
    head = made.heads.Head(made.backbone.width, made.targets)  # linear, whatever the source brings
    if strength is None and len(kinds) > 1:
        parts = arms.folds(made, made.labels, made.groups, made.plan.seed)
        strength = arms.solution(head, features, made.labels, parts).strength
    fit = _Fits(made, features, head, strength, kinds)
    inside, beyond = _held_out(made, fit, outside)
    held: dict[str, float] = {}
    if len(outside):
        held = {k: _area(inside[k], beyond[k]) for k in kinds}
    best = max(kinds, key=lambda k: held.get(k, 0.0))  # the first where nothing was measured
    threshold = float(np.quantile(inside[best], INSIDE, method="higher"))
    every = fit(np.arange(len(features)))
    _tell(made, best, held, len(outside))
    return Guard(every[best], threshold, made.plan.task.out_of_scope, held, tuple(every.values()))


@dataclass(frozen=True)
class _Fits:
    """Fits detectors on some places of the training rows."""

    made: Job
    features: np.ndarray
    head: Any
    strength: float | None
    kinds: tuple[str, ...]

    def __call__(self, places: np.ndarray) -> dict[str, Detector]:
        features, labels = self.features[places], self.made.labels[places]
        found = {
            k: detectors.by_distance(k, features, labels, self.made.plan.seed)
            for k in self.kinds
            if k in detectors.DISTANCES
        }
        if any(k in detectors.LOGITS for k in self.kinds):
            problem = dataclasses.replace(
                self.head.problem(len(labels)), strengths=(self.strength,)
            )
            made = solve(problem, features, labels, folds=None, standardise="whole")
            for k in self.kinds:
                if k in detectors.LOGITS:
                    found[k] = detectors.by_logits(k, made.weight, made.bias)
        return found


def _outside(made: Job) -> np.ndarray:
    """(n, width) features of the training rows that lie outside."""
    if not len(made.outside):
        return np.empty((0, made.backbone.width), np.float32)
    out = made.extract(made.outside)
    made.set_aside += [SetAside(b.name, b.reason, b.remedy) for b in out.set_aside]
    if out.features is None:
        raise ValueError("pooled features are always kept")
    return out.features


def _held_out(
    made: Job, fit: _Fits, outside: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores of training rows by detectors that were fitted without them, and of rows outside, mean
    over folds."""
    inside = {k: np.full(len(fit.features), np.nan) for k in fit.kinds}
    beyond = {k: np.zeros(len(outside)) for k in fit.kinds}
    parts = arms.folds(made, made.labels, made.groups, made.plan.seed)
    if len(made.labels) * len(made.targets.classes) > MANY:
        parts = parts[:FEW_FOLDS]
    for learn, valid in parts:
        for name, detector in fit(learn).items():
            inside[name][valid] = detector(fit.features[valid])
            beyond[name] += detector(outside) / len(parts)
    return {k: said[np.isfinite(said)] for k, said in inside.items()}, beyond


def _area(inside: np.ndarray, beyond: np.ndarray) -> float:
    truth = np.repeat([0.0, 1.0], [len(inside), len(beyond)])
    return float(area(np.concatenate([inside, beyond]), truth).mean())


def _tell(made: Job, best: str, held: Mapping[str, float], rows: int) -> None:
    """How the detector was chosen, where the task asks for one."""
    if held:
        listed = ", ".join(f"{k} {v:.3f}" for k, v in sorted(held.items(), key=lambda i: -i[1]))
        made.say(
            f"Rows out of scope are told by '{best}', the best of {len(held)} detectors on held-out "
            f"training rows (area under the ROC curve against {rows} rows outside: {listed})."
        )
    elif made.plan.task.out_of_scope:
        made.say(
            f"No training row is labelled '{made.plan.task.out_of_scope}', so rows out of scope are told "
            f"by '{best}', untried on such rows."
        )


def sealed(found: Guard | None, parts: PackParts) -> PackParts:
    """The pack with its detector."""
    if found is None:
        return parts
    import torch

    told = {
        "detector": found.detector.name,
        "k": found.detector.k,
        "threshold": found.threshold,
        "inside": INSIDE,
        "label": found.label,
    }
    tensors = {
        PREFIX + name: torch.from_numpy(np.ascontiguousarray(value, np.float32))
        for name, value in found.detector.tensors.items()
    }
    return dataclasses.replace(
        parts, recipe={**parts.recipe, "scope": told}, tensors={**parts.tensors, **tensors}
    )


def known(made: Job, rows: np.ndarray) -> np.ndarray:
    """Mask of the rows whose label is a known class, or any at all where the task names none outside."""
    label = made.plan.task.out_of_scope
    if not label:
        return np.ones(len(rows), bool)
    return np.array([str(t) != label for t in made.dataset.targets(rows)], bool)


def tested(
    found: Guard | None, features: np.ndarray, inside: np.ndarray, groups: np.ndarray | None
) -> Outside | None:
    """Scores of opened test rows for the evidence.

    Args:
        features: (all test rows, width).
        inside: (all test rows,) of bool, as `known` gives it.
        groups: (all test rows,) group numbers, or None.
    """
    if found is None:
        return None
    scores = {d.name: d(features) for d in found.every}
    return Outside(
        found.detector.name,
        found.threshold,
        {name: said[inside] for name, said in scores.items()},
        {name: said[~inside] for name, said in scores.items()},
        None if groups is None else groups[~inside],
    )
