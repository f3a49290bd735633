"""Ridge regression for a whole path of penalties from one eigendecomposition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.engine.basis import Scaling, Standard

Array = NDArray[Any]


def path(
    features: Array,
    targets: Array,
    alphas: list[float],
    standardise: Standard,
    weights: Array | None,
) -> list[tuple[Array, Array]]:
    """Ridge for every alpha from one eigendecomposition: (outputs, width) and (outputs,) each, float64.

    Works on the smaller side: the scatter of features, or the Gram matrix of rows. Hastie, Tibshirani and
    Friedman (2009), section 18.3.5.
    """
    scaling = Scaling.of(features, standardise)
    inside = scaling.apply(features.astype(np.float64))
    shares = np.ones(len(inside)) if weights is None else weights
    middle, level = (np.average(part, axis=0, weights=shares) for part in (inside, targets))
    roots = np.sqrt(shares)[:, None]
    inside = (inside - middle) * roots
    wanted = (targets - level) * roots
    rows, width = inside.shape
    values, vectors = np.linalg.eigh(inside.T @ inside if width <= rows else inside @ inside.T)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ (inside.T @ wanted if width <= rows else wanted)
    out = []
    for alpha in alphas:
        solved = vectors @ (turned / (values + alpha)[:, None])
        weight = (solved if width <= rows else inside.T @ solved).T / scaling.scale
        out.append((weight, level - weight @ (scaling.mean + middle * scaling.scale)))
    return out
