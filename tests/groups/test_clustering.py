"""Clusters of points with a known truth, and of the few and odd points that people bring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from headstart.errors import PlanError
from headstart.groups import clustering
from headstart.groups.clustering import Ask

TRUTH = np.repeat([0, 1, 2, 3], 40)


def blobs(seed: int = 0, width: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(TRUTH), width)) * 0.3 + 4 * np.eye(width)[TRUTH]


@pytest.mark.parametrize("method", clustering.METHODS)
def test_every_method_finds_what_is_there(method: str) -> None:
    found = clustering.group(blobs(), Ask(method))
    assert adjusted_rand_score(TRUTH, found.numbers) > 0.95
    assert found.count == 4
    assert found.distance.min() >= 0
    assert "4" in found.how


@pytest.mark.parametrize("choose", clustering.CHOICES)
def test_the_number_is_chosen_and_said(choose: str) -> None:
    found = clustering.group(blobs(1), Ask(choose=choose))
    assert found.count == 4
    assert dict(found.tried)[4] == max(score for _, score in found.tried)
    assert ("silhouette" if choose == "silhouette" else "agreement of halves") in found.how


def test_clusters_are_numbered_by_size_and_measured_from_their_centre() -> None:
    places = np.concatenate([np.zeros((3, 2)), np.full((9, 2), 5.0)])
    places[0, 0] = 3e-1
    found = clustering.group(places, Ask(clusters=2))
    assert found.numbers.tolist() == [2] * 3 + [1] * 9
    assert np.allclose(found.distance[3:], 0)
    assert found.distance[0] == pytest.approx(0.2)


def test_the_same_seed_gives_the_same_clusters() -> None:
    first, second = (clustering.group(blobs(2), Ask(clusters=5, seed=3)) for _ in range(2))
    assert np.array_equal(first.numbers, second.numbers)
    assert np.array_equal(first.distance, second.distance)


@pytest.mark.parametrize("method", clustering.METHODS)
@pytest.mark.parametrize("places", [np.ones((1, 3)), np.ones((7, 3)), np.eye(2)])
def test_too_little_to_tell_apart_stays_together(method: str, places: np.ndarray) -> None:
    found = clustering.group(places, Ask(method))
    assert found.numbers.tolist() == [1] * len(places)
    assert "all stay together" in found.how


def test_more_clusters_than_different_rows_are_refused() -> None:
    places = np.repeat(np.eye(3), 4, axis=0)
    assert clustering.group(places, Ask(clusters=3)).count == 3
    with pytest.raises(PlanError, match="Ask for at most 3"):
        clustering.group(places, Ask(clusters=4))


def test_scattered_rows_are_left_in_no_cluster() -> None:
    rng = np.random.default_rng(0)
    odd = rng.uniform(-40, 40, size=(6, 6))
    found = clustering.group(np.concatenate([blobs(), odd]), Ask("hdbscan"))
    assert (found.numbers[-6:] == clustering.NONE).mean() > 0.8
    assert np.isfinite(found.distance).all()
    assert "in none" in found.how


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"method": "kmean"}, "Did you mean 'kmeans'"),
        ({"choose": "luck"}, "choose came as 'luck'"),
        ({"clusters": -2}, "expected 2 or more"),
        ({"clusters": 1}, "expected 2 or more"),
        ({"clusters": 3, "method": "hdbscan"}, "finds their number itself"),
    ],
)
def test_wrong_settings_are_answered(ask: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        Ask(**ask)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 1), (1, 80), (2, 80), (5, 3), (70, 80)])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_points_of_any_shape(shape: tuple[int, int], kind: object) -> None:
    rows = np.random.default_rng(0).normal(size=shape)
    made = clustering.points(kind(rows), 0)  # type: ignore[operator]
    assert made.shape[0] == shape[0]
    assert 1 <= made.shape[1] <= max(clustering.PARTS, shape[1])
    assert np.isfinite(made).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 3), st.integers(0, 99))
def test_every_row_gets_one_cluster(rows: int, width: int, levels: int, seed: int) -> None:
    places = np.random.default_rng(seed).integers(0, levels + 1, (rows, width)).astype(float)
    found = clustering.group(places, Ask())
    assert len(found.numbers) == len(found.distance) == rows
    assert sorted(set(found.numbers.tolist())) == list(range(1, found.count + 1))
    sizes = np.bincount(found.numbers)[1:]
    assert (np.diff(sizes) <= 0).all()
