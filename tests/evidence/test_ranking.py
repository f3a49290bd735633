"""The area is scikit-learn's, its variance DeLong's; ties, seeds, several classes, one class only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from headstart.core.evidence import Arm, Case
from headstart.core.ranking import area
from headstart.evidence import ranking
from tests.evidence.cases import score


def case(scores: np.ndarray, targets: np.ndarray, **extra) -> Case:
    """Two classes; scores (seeds, rows) of the second."""
    told = np.stack([1 - scores, scores], axis=-1)
    arms = {"transfer": Arm("transfer", told, np.array([0.7]))}
    return Case(
        "classify",
        ("no", "yes"),
        targets,
        arms,
        targets[:0],
        told[0, :0],
        score("classify"),
        **extra,
    )


def drawn(rows: int, gap: float, seed: int = 0, seeds: int = 1):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, rows)
    scores = 1 / (1 + np.exp(-(gap * targets + rng.normal(size=(seeds, rows)))))
    return np.round(scores, 2), targets


@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0])
def test_it_is_the_area_under_the_curve(gap):
    scores, targets = drawn(150, gap, seeds=2)
    found = ranking.check(case(scores, targets)).measures[0]
    expected = np.mean([roc_auc_score(targets, s) for s in scores])
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low < found.value < found.high


def test_the_variance_is_delong_s():
    scores, targets = drawn(90, 1.0)
    one, inside = scores[0], targets == 1
    wins = (one[inside][:, None] > one[~inside]) + 0.5 * (one[inside][:, None] == one[~inside])
    n, m = wins.shape
    delong = wins.mean(1).var() / n + wins.mean(0).var() / m
    assert area(one, inside).var() / len(one) == pytest.approx(delong)


def test_the_interval_covers_the_truth():
    truth = roc_auc_score(*reversed([a.ravel() for a in drawn(200_000, 1.0, seed=9)]))
    hits = 0
    for seed in range(200):
        found = ranking.check(case(*drawn(80, 1.0, seed))).measures[0]
        hits += found.low <= truth <= found.high
    assert 180 <= hits <= 199


def test_all_arms_are_read_and_several_classes_averaged():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 90)
    told = rng.dirichlet(np.ones(3), (1, 90)) + 0.5 * np.eye(3)[targets]
    told /= told.sum(-1, keepdims=True)
    arms = {r: Arm(r, told, np.array([0.5])) for r in ("champion", "transfer")}
    found = ranking.check(
        Case(
            "classify", ("a", "b", "c"), targets, arms, targets[:0], told[0, :0], score("classify")
        )
    )
    assert [m.group for m in found.measures] == ["", "transfer", "champion"]
    expected = np.mean([roc_auc_score(targets == c, told[0, :, c]) for c in range(3)])
    assert found.measures[0].value == pytest.approx(expected)


def test_one_class_only_is_missing_with_a_reason():
    scores, targets = drawn(40, 1.0)
    made = case(scores, targets)
    found = ranking.check(replace(made, targets=np.zeros_like(targets)))
    assert not found.measures and "one class" in found.missing[0][1]
