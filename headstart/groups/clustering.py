"""Clusters of stored features: k-means, spectral and HDBSCAN, and how many there are.

The number of clusters is given, or chosen among a few by the mean silhouette of k-means (Rousseeuw 1987) or
by its stability: halves of the rows are clustered apart, and the agreement of the two on all rows is the
adjusted Rand index (Ben-Hur et al. 2002; Lange et al. 2004). HDBSCAN (Campello et al. 2013) finds the number
itself and leaves rows in no cluster.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import PlanError, nearest

METHODS = ("kmeans", "spectral", "hdbscan")
CHOICES = ("silhouette", "stability")
PARTS = 50  # principal components that clusters are looked for in
NUMBERS = (*range(2, 11), 12, 15, 20, 25, 30, 40)
LOOKED = 2000  # rows on which numbers of clusters are compared
REPEATS = 5  # pairs of halves
STARTS = 10
NONE = 0  # the number of a row in no cluster; clusters count from 1, the largest first


@dataclass(frozen=True)
class Grouped:
    """Clusters of rows.

    Attributes:
        numbers: (rows,) from 1, the largest cluster first; `NONE` for a row in no cluster.
        distance: (rows,) to the centre of the row's cluster, or of the nearest one for a row in none.
        how: how the number of clusters came about, as a sentence.
        tried: (number, score) of each number that was compared.
    """

    numbers: np.ndarray
    distance: np.ndarray
    how: str
    tried: tuple[tuple[int, float], ...] = ()

    @property
    def count(self) -> int:
        return int(self.numbers.max(initial=0))


@dataclass(frozen=True)
class Ask:
    """What is asked for; `clusters` 0: chosen. Raises PlanError for what does not exist."""

    method: str = "kmeans"
    clusters: int = 0
    choose: str = "silhouette"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("method", self.method, METHODS),
            ("choose", self.choose, CHOICES),
        ):
            if value not in known:
                raise PlanError(f"{name} came as '{value}'. {nearest(value, known)}")
        if self.clusters < 0 or self.clusters == 1:
            raise PlanError(
                f"{self.clusters} clusters were asked for; expected 2 or more, or 0 to choose."
            )
        if self.clusters and self.method == "hdbscan":
            raise PlanError(
                f"{self.clusters} clusters were asked for, but HDBSCAN finds their number itself. Leave "
                "the number out, or choose the method kmeans or spectral."
            )


def points(features: Any, seed: int) -> np.ndarray:
    """The first principal components of features (rows, width), dense or sparse: (rows, parts) float64."""
    from scipy import sparse
    from sklearn.decomposition import PCA, TruncatedSVD

    rows, width = features.shape
    parts = min(PARTS, rows - 1, width - 1 if sparse.issparse(features) else width)
    if sparse.issparse(features):
        if parts < 1:
            return np.asarray(features.toarray(), np.float64)
        return np.asarray(TruncatedSVD(parts, random_state=seed).fit_transform(features))
    dense = np.asarray(features, np.float64)
    dense = dense - dense.mean(axis=0)
    if parts < 1 or width <= PARTS or not dense.any():
        return dense[:, : max(1, min(PARTS, width))]
    return np.asarray(PCA(parts, svd_solver="randomized", random_state=seed).fit_transform(dense))


def group(places: np.ndarray, ask: Ask) -> Grouped:
    """Clusters of points (rows, parts).

    Raises:
        PlanError: more clusters are asked for than there are different rows.
    """
    different = len(np.unique(places.round(9), axis=0))
    if ask.clusters > different:
        raise PlanError(
            f"{ask.clusters} clusters were asked for, but the {len(places)} rows have {different} different "
            f"features only. Ask for at most {different}, or give more rows."
        )
    if different < 3 and not ask.clusters:
        how = f"The {len(places)} rows have {different} different features only: all stay together."
        return _ordered(places, np.zeros(len(places), np.int64), how)
    if ask.method == "hdbscan":
        return _dense(places)
    how, tried, count = f"The number of clusters, {ask.clusters}, was given.", (), ask.clusters
    if not count:
        tried = _compared(places, different, ask)
        count = max(tried, key=lambda one: one[1])[0]
        scored = dict(tried)[count]
        what = "mean silhouette" if ask.choose == "silhouette" else "agreement of halves (ARI)"
        how = (
            f"{count} clusters, the number with the highest {what} of k-means, {scored:.2f}, among "
            f"{', '.join(str(n) for n, _ in tried)}."
        )
    made = _spectral if ask.method == "spectral" else _kmeans
    return _ordered(places, made(places, count, ask.seed), how, tried)


def _kmeans(places: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(count, n_init=STARTS, random_state=seed).fit(places).labels_)


def _spectral(places: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Ng, Jordan and Weiss (2001) on the graph of nearest neighbours."""
    from sklearn.cluster import SpectralClustering

    made = SpectralClustering(
        count,
        affinity="nearest_neighbors",
        n_neighbors=min(STARTS, len(places) - 1),
        assign_labels="cluster_qr",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a graph in several pieces is no mistake
        return np.asarray(made.fit_predict(places))


def _dense(places: np.ndarray) -> Grouped:
    """HDBSCAN; where nothing is dense enough, all rows are one cluster."""
    from sklearn.cluster import HDBSCAN

    least = int(np.clip(len(places) // 100, 5, 100))
    if len(places) <= least:
        how = f"HDBSCAN needs more than {least} rows: all stay together."
        return _ordered(places, np.zeros(len(places), np.int64), how)
    found = np.asarray(HDBSCAN(min_cluster_size=least, copy=True).fit(places).labels_)
    if found.max() < 0:
        how = f"HDBSCAN found no cluster of at least {least} rows: all stay together."
        return _ordered(places, np.zeros(len(places), np.int64), how)
    out = int((found < 0).sum())
    how = f"HDBSCAN found {found.max() + 1} clusters of at least {least} rows and left {out} rows in none."
    return _ordered(places, found, how)


def _compared(places: np.ndarray, different: int, ask: Ask) -> tuple[tuple[int, float], ...]:
    """Each number of clusters that the rows allow, and its score on at most `LOOKED` rows."""
    rng = np.random.default_rng(ask.seed)
    some = places[np.sort(rng.permutation(len(places))[:LOOKED])]
    most = min(different - 1, max(2, len(some) // 3))
    score = _silhouette if ask.choose == "silhouette" else _stability
    return tuple((n, score(some, n, ask.seed)) for n in NUMBERS if n <= most)


def _silhouette(places: np.ndarray, count: int, seed: int) -> float:
    from sklearn.metrics import silhouette_score

    found = _kmeans(places, count, seed)
    return float(silhouette_score(places, found)) if len(np.unique(found)) > 1 else -1.0


def _stability(places: np.ndarray, count: int, seed: int) -> float:
    """Mean adjusted Rand index, on all rows, of k-means on two halves."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    rng, made = np.random.default_rng(seed), []
    for turn in range(REPEATS):
        order = rng.permutation(len(places))
        halves = [order[: len(order) // 2], order[len(order) // 2 :]]
        if min(map(len, halves)) < count:
            return -1.0
        said = [
            KMeans(count, n_init=3, random_state=seed + turn).fit(places[half]).predict(places)
            for half in halves
        ]
        made.append(adjusted_rand_score(*said))
    return float(np.mean(made))


def _ordered(
    places: np.ndarray, found: np.ndarray, how: str, tried: tuple[tuple[int, float], ...] = ()
) -> Grouped:
    """Clusters renumbered by size, and each row's distance to its centre."""
    kinds, sizes = np.unique(found[found >= 0], return_counts=True)
    order = kinds[np.argsort(-sizes, kind="stable")]
    numbers = np.full(len(found), NONE)
    for number, kind in enumerate(order, start=1):
        numbers[found == kind] = number
    centres = np.stack([places[numbers == n].mean(axis=0) for n in range(1, len(order) + 1)])
    gaps = np.stack([np.linalg.norm(places - c, axis=1) for c in centres], axis=1)
    own = gaps[np.arange(len(found)), np.maximum(numbers - 1, 0)]
    return Grouped(numbers, np.where(numbers == NONE, gaps.min(axis=1), own), how, tried)
