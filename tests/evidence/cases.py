"""Cases with a known truth: clean ones, and ones with a planted fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.core import plugins
from headstart.core.evidence import Arm, Case, Finding, Measure, Score


def score(outcome: str) -> Score:
    """How the outcome's own head scores rows."""
    found: Score = plugins.load("head", outcome).SCORE
    return found


CLASSES = ("ant", "bee", "wasp")


def probabilities(
    rng: np.random.Generator, truth: np.ndarray, accuracy: Any, *, seeds: int = 3, sure: float = 0.0
) -> np.ndarray:
    """(seeds, rows, 3) probabilities, right with chance `accuracy` and as sure as they are right.

    Args:
        accuracy: chance to be right, one number or (rows,).
        sure: added to the confidence; 0 is perfectly calibrated.
    """
    rows = len(truth)
    chance = np.clip(np.broadcast_to(accuracy, rows) + rng.uniform(-0.12, 0.12, rows), 0.4, 0.99)
    right = rng.random((seeds, rows)) < chance
    named = np.where(right, truth, (truth + rng.integers(1, 3, (seeds, rows))) % 3)
    top = np.broadcast_to(np.clip(chance + sure, 0.4, 0.999), named.shape)
    out = np.repeat(((1 - top) / 2)[:, :, None], 3, axis=2)
    np.put_along_axis(out, named[:, :, None], top[:, :, None], axis=2)
    return out


def classify(
    *,
    rows: int = 300,
    seeds: int = 3,
    accuracies: Mapping[str, Any] | None = None,
    sure: float = 0.0,
    seed: int = 0,
    **extra: Any,
) -> Case:
    """A case of three classes; `accuracies` by role, `extra` goes into the case."""
    rng = np.random.default_rng(seed)
    truth, past = rng.integers(0, 3, rows), rng.integers(0, 3, 400)
    arms = {}
    for role, accuracy in (accuracies or {"transfer": 0.85, "scratch": 0.7}).items():
        found = probabilities(rng, truth, accuracy, seeds=seeds, sure=sure)
        arms[role] = Arm(role, found, np.full(seeds, np.mean(accuracy)), flops=1e9, seconds=2.0)
    before = probabilities(rng, past, 0.85, seeds=1, sure=sure)[0]
    return Case("classify", CLASSES, truth, arms, past, before, score("classify"), **extra)


def regress(
    *,
    rows: int = 300,
    seeds: int = 3,
    noise: Mapping[str, float] | None = None,
    drift: float = 1.0,
    seed: int = 0,
    **extra: Any,
) -> Case:
    """Numbers of variance 1 with normal errors of sd `noise` by role; `drift` widens those of the test."""
    rng = np.random.default_rng(seed)
    truth, past = rng.normal(size=rows), rng.normal(size=200)
    own = rng.normal(size=rows)
    arms = {}
    for role, sd in (noise or {"transfer": 0.5, "scratch": 0.8}).items():
        errors = 0.8 * own + 0.6 * rng.normal(size=(seeds, rows))
        arms[role] = Arm(role, truth + sd * drift * errors, np.full(seeds, 1 - sd**2))
    before = past + 0.5 * rng.normal(size=200)
    return Case("regress", (), truth, arms, past, before, score("regress"), **extra)


def measure(finding: Finding, name: str, group: str = "") -> Measure:
    """The one measure of that name and group."""
    (found,) = [m for m in finding.measures if m.name == name and m.group == group]
    return found
