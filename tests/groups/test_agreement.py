"""NMI and ARI against scikit-learn's, and their intervals on planted worlds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from headstart.groups import agreement

CODES = st.lists(st.integers(0, 4), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(CODES, st.integers(0, 1000))
def test_scores_are_those_of_scikit_learn(codes: list[int], seed: int) -> None:
    first = np.array(codes)
    second = np.random.default_rng(seed).integers(0, 3, len(codes))
    shared, rand = agreement.scores(first, second)
    assert rand == pytest.approx(adjusted_rand_score(first, second), abs=1e-9)
    if len(set(codes)) > 1 and len(set(second.tolist())) > 1:
        expected = normalized_mutual_info_score(first, second)
        assert shared == pytest.approx(expected, abs=1e-9)


def noisy(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(labels)) < share, rng.integers(0, 4, len(labels)), labels)


def test_the_better_clusters_gain_and_alike_ones_do_not() -> None:
    labels = np.random.default_rng(0).integers(0, 4, 400)
    close, far = noisy(labels, 0.1, 1), noisy(labels, 0.6, 2)
    found = {(m.name, m.group): m for m in agreement.measured(labels, close, far, "plain", 0)}
    assert set(found) == {
        *((n, g) for n in ("NMI", "ARI") for g in ("the source", "plain")),
        *(("gain in NMI", ""), ("gain in ARI", "")),
    }
    for one in found.values():
        assert one.low < one.value < one.high
    assert found["gain in ARI", ""].low > 0
    same = agreement.measured(labels, close, close, "plain", 0)
    gain = next(m for m in same if m.name == "gain in NMI")
    assert gain.low == gain.value == gain.high == 0


def test_without_another_clustering_there_is_no_gain() -> None:
    labels = np.repeat([0, 1], 20)
    found = agreement.measured(labels, labels, None, "", 0)
    assert [m.name for m in found] == ["NMI", "ARI"]
    assert all(m.value == pytest.approx(1.0) and m.high == 1.0 for m in found)
