"""Nearest rows against scikit-learn's, and what of them the evidence says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from headstart.core.evidence import Nearest
from headstart.evidence import retrieval
from headstart.groups.neighbours import nearest
from testing.evidence import case


@pytest.mark.parametrize("by", ["cosine", "euclidean"])
def test_they_are_those_of_scikit_learn(by: str) -> None:
    rng = np.random.default_rng(0)
    stored, asked = (rng.normal(size=(n, 8)).astype(np.float32) for n in (700, 600))
    places, gaps = nearest(asked, stored, 7, by=by)
    known = NearestNeighbors(n_neighbors=7, metric=by).fit(stored.astype(float))
    far, near = known.kneighbors(asked.astype(float))
    assert np.array_equal(places, near)
    assert np.allclose(gaps, far, atol=1e-5)


def test_a_row_is_its_own_nearest_and_ties_keep_the_order() -> None:
    stored = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], np.float32)
    places, gaps = nearest(stored[:1], stored, 9)
    assert places[0, :2].tolist() == [0, 2]
    assert gaps[0, 0] == 0
    assert places.shape == (1, 4)
    assert np.isfinite(gaps).all()
    assert nearest(np.empty((0, 2), np.float32), stored, 2)[0].shape == (0, 2)


def test_precision_is_the_textbook_one() -> None:
    same = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    sizes = np.array([3, 2, 1, 0])
    expected = [(1 + 2 / 3) / 3, 0.0, 1.0, 0.0]
    assert np.allclose(retrieval.precision(same, sizes), expected)


def test_the_evidence_finds_what_was_planted() -> None:
    made = case("classify")
    targets = np.asarray(made.targets)
    rng = np.random.default_rng(0)
    sizes = np.array([20, 20, 20])
    right = replace(made, nearest=Nearest(np.repeat(targets[:, None], 20, axis=1), sizes))
    chance = replace(made, nearest=Nearest(rng.integers(0, 3, (len(targets), 20)), sizes))
    for one, low, high in ((right, 1.0, 1.0), (chance, 0.2, 0.5)):
        found = {m.name: m for m in retrieval.check(one).measures}
        assert set(found) == {
            *("recall at 1", "recall at 5", "recall at 10", "mean average precision at R")
        }
        assert low <= found["recall at 1"].value <= high
        assert all(m.low <= m.value <= m.high for m in found.values())
    assert retrieval.check(replace(made, nearest=None)).missing
