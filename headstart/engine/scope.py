"""How far rows lie outside the classes that a head knows: four detectors on stored features.

`neighbours`: distance to the k-th nearest training row, features at unit length (Sun et al. 2022,
arXiv:2204.06507). `mahalanobis`: distance to the nearest class mean under one covariance for all classes
(Lee et al. 2018, arXiv:1807.03888), which is shrunk (Ledoit and Wolf 2004). `energy`: minus the
log-sum-exp of the logits (Liu et al. 2020, arXiv:2010.03759). `probability`: minus the logarithm of the
largest probability (Hendrycks and Gimpel 2017, arXiv:1610.02136). For all of them higher is farther outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.special import logsumexp

Array = NDArray[Any]
DISTANCES = ("mahalanobis", "neighbours")
LOGITS = ("energy", "probability")
NEIGHBOURS = 10  # k at most; half of the smallest class where that is less
REFERENCES = 10_000  # rows that neighbours are looked for among, at most
CHUNK = 1024  # rows that are compared at a time


@dataclass(frozen=True)
class Detector:
    """A fitted detector; call it with features (N, width) for scores (N,), higher is farther outside.

    Attributes:
        name: of `DISTANCES` or `LOGITS`.
        tensors: what it compares with, float32.
        k: which neighbour counts; 0 where none does.
    """

    name: str
    tensors: Mapping[str, Array]
    k: int = 0

    def __call__(self, features: Array) -> NDArray[np.float64]:
        parts = [
            _SCORES[self.name](self, np.asarray(features[i : i + CHUNK], np.float32))
            for i in range(0, len(features), CHUNK)
        ]
        return np.concatenate(parts).astype(np.float64) if parts else np.empty(0)


def by_distance(name: str, features: Array, labels: Array, seed: int) -> Detector:
    """A detector of `DISTANCES`.

    Args:
        features: (rows, width) of rows of the known classes.
        labels: (rows,) class numbers.
        seed: of the draw where there are more than `REFERENCES` rows.
    """
    if name == "mahalanobis":
        return _gaussian(features, labels)
    k = int(np.clip(np.unique(labels, return_counts=True)[1].min() // 2, 1, NEIGHBOURS))
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(len(features))[:REFERENCES])
    return Detector(name, {"rows": unit(features[kept])}, min(k, len(kept)))


def by_logits(name: str, weight: Array, bias: Array) -> Detector:
    """A detector of `LOGITS`. weight (classes, width), bias (classes,)."""
    return Detector(name, {"weight": np.asarray(weight), "bias": np.asarray(bias)})


def unit(features: Array) -> NDArray[np.float32]:
    """Rows at length one; a row of zeros stays as it is."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(length > 0, length, 1), np.float32)


def _gaussian(features: Array, labels: Array) -> Detector:
    """Class means in coordinates in which the shared covariance is one."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    known = np.unique(labels)
    means = np.stack([features[labels == c].mean(axis=0, dtype=np.float64) for c in known])
    rest = features - means[np.searchsorted(known, labels)]
    shrunk = float(ledoit_wolf_shrinkage(rest, assume_centered=True))
    level = float((rest**2).sum() / rest.size)  # the mean variance
    ridge = shrunk * level + 1e-6 * level + 1e-12
    tensors = _whitening(rest * np.sqrt((1 - shrunk) / len(rest)), ridge)
    tensors["means"] = _whitened(tensors, means)
    return Detector("mahalanobis", {n: t.astype(np.float32) for n, t in tensors.items()})


def _whitening(rows: Array, ridge: float) -> dict[str, Array]:
    """What `_whitened` needs so that products become those under the inverse of rows' rows + ridge.

    A matrix {"whiten": (width, width)}; or, as few rows span few directions and outside them all is only
    scaled, {"scale": (1,), "along": (width, directions)}.
    """
    count, width = rows.shape
    if 2 * count >= width:
        root = cholesky(rows.T @ rows + ridge * np.eye(width), lower=True)
        return {"whiten": solve_triangular(root, np.eye(width), lower=True).T}
    values, vectors = eigh(rows @ rows.T)
    kept = values > values[-1] * count * np.finfo(np.float64).eps
    values, along = values[kept], rows.T @ vectors[:, kept]
    scale = 1 / np.sqrt(ridge)
    less = (scale - 1 / np.sqrt(values + ridge)) / values
    return {"scale": np.array([scale]), "along": along * np.sqrt(less)}


def _whitened(tensors: Mapping[str, Array], features: Array) -> Array:
    """(N, width) in coordinates in which the shared covariance is one."""
    if "whiten" in tensors:
        return np.asarray(features @ tensors["whiten"])
    along = tensors["along"]
    return np.asarray(features * tensors["scale"] - features @ along @ along.T)


def _far(detector: Detector, features: Array) -> Array:
    """Distance to the k-th nearest of the reference rows, 0 to 2."""
    near = unit(features) @ detector.tensors["rows"].T
    place = near.shape[1] - detector.k
    kth = np.partition(near, place, axis=1)[:, place]
    return np.sqrt(np.maximum(2 - 2 * kth, 0))


def _standing_off(detector: Detector, features: Array) -> Array:
    """Mahalanobis distance to the nearest class mean."""
    here, means = _whitened(detector.tensors, features), detector.tensors["means"]
    squares = (here**2).sum(1)[:, None] - 2 * here @ means.T + (means**2).sum(1)
    return np.sqrt(np.maximum(squares.min(axis=1), 0))


def _logits(detector: Detector, features: Array) -> Array:
    made = features @ detector.tensors["weight"].T + detector.tensors["bias"]
    return np.asarray(made, np.float64)


def _energy(detector: Detector, features: Array) -> Array:
    return -logsumexp(_logits(detector, features), axis=1)


def _doubt(detector: Detector, features: Array) -> Array:
    logits = _logits(detector, features)
    return np.asarray(logsumexp(logits, axis=1) - logits.max(axis=1))


_SCORES = {
    "neighbours": _far,
    "mahalanobis": _standing_off,
    "energy": _energy,
    "probability": _doubt,
}
