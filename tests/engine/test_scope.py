"""Detectors of rows outside: each against its formula, and on planted rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from headstart.engine import scope
from headstart.engine.scope import Detector

LABELS = np.repeat([0, 1, 2], 50)


def rows(seed: int = 0, centre: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = rng.normal(size=(len(LABELS), 5)) + 6 * np.eye(5)[LABELS] + centre
    return made.astype(np.float32)


def every() -> list[Detector]:
    weight, bias = 3 * np.eye(5, dtype=np.float32)[:3], np.zeros(3, np.float32)
    found = [scope.by_distance(n, rows(), LABELS, 0) for n in scope.DISTANCES]
    return found + [scope.by_logits(n, weight, bias) for n in scope.LOGITS]


@pytest.mark.parametrize("detector", every(), ids=lambda d: d.name)
def test_rows_outside_score_higher(detector: Detector) -> None:
    inside, outside = detector(rows(1)), detector(-rows(2))
    truth = np.repeat([0, 1], len(LABELS))
    assert roc_auc_score(truth, np.concatenate([inside, outside])) > 0.9
    assert inside.dtype == np.float64
    assert detector(np.empty((0, 5), np.float32)).shape == (0,)


@pytest.mark.parametrize("detector", every(), ids=lambda d: d.name)
def test_a_score_does_not_depend_on_companions(detector: Detector) -> None:
    asked = rows(3)
    alone = np.concatenate([detector(asked[i : i + 1]) for i in range(5)])
    assert np.allclose(alone, detector(asked)[:5], atol=1e-4)


def test_neighbours_are_those_of_scikit_learn() -> None:
    detector = scope.by_distance("neighbours", rows(), LABELS, 0)
    assert detector.k == scope.NEIGHBOURS
    known = NearestNeighbors(n_neighbors=detector.k).fit(scope.unit(rows()))
    far = known.kneighbors(scope.unit(rows(1)))[0][:, -1]
    assert np.allclose(detector(rows(1)), far, atol=1e-3)


def test_mahalanobis_has_the_distance_of_its_covariance() -> None:
    stretched = rows() * np.array([1, 1, 1, 1, 30], np.float32)
    detector = scope.by_distance("mahalanobis", stretched, LABELS, 0)
    middle = stretched[LABELS == 0].mean(axis=0)
    along, across = middle.copy(), middle.copy()
    along[4] += 30
    across[3] += 30
    at, near, far = detector(np.stack([middle, along, across]))
    assert at == pytest.approx(0, abs=0.05)
    assert far > 5 * near


@pytest.mark.parametrize("width", [20, 149, 150, 400])
def test_mahalanobis_is_that_of_scikit_learn_however_wide_the_rows(width: int) -> None:
    rng = np.random.default_rng(width)
    wide = (rng.normal(size=(len(LABELS), 8)) @ rng.normal(size=(8, width))).astype(np.float32)
    wide += rng.normal(size=wide.shape).astype(np.float32)
    means = np.stack([wide[c == LABELS].mean(axis=0) for c in range(3)])
    known = LedoitWolf(assume_centered=True).fit(wide - means[LABELS])
    asked = rng.normal(size=(7, width)).astype(np.float32)
    away = [known.mahalanobis(asked - mean) for mean in means]
    said = scope.by_distance("mahalanobis", wide, LABELS, 0)(asked)
    assert np.allclose(said, np.sqrt(np.min(away, axis=0)), rtol=1e-3)


def test_energy_and_probability_are_their_formulas() -> None:
    logits = np.array([[2.0, 0.0, -1.0], [0.1, 0.0, 0.0]])
    grown = np.exp(logits)
    eye, none = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    energy = scope.by_logits("energy", eye, none)(logits)
    doubt = scope.by_logits("probability", eye, none)(logits)
    assert np.allclose(energy, -np.log(grown.sum(1)), atol=1e-6)
    assert np.allclose(doubt, -np.log(grown.max(1) / grown.sum(1)), atol=1e-6)


@pytest.mark.parametrize("name", scope.DISTANCES)
def test_few_and_equal_rows_give_finite_scores(name: str) -> None:
    for features in (np.ones((4, 3), np.float32), np.zeros((2, 3), np.float32)):
        labels = np.arange(len(features)) % 2
        said = scope.by_distance(name, features, labels, 0)(np.eye(3, dtype=np.float32))
        assert np.isfinite(said).all()
