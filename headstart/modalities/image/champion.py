"""Simple models of pictures, without any pretrained network.

Gradient histograms follow Dalal and Triggs (2005), eigenpictures Turk and Pentland (1991).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Champion, Simple
from headstart.modalities import _simple
from headstart.modalities.image import decode

_SIDE = 32
_CELLS = 4
_ANGLES = 9
_COLOURS = 4
_STRENGTHS = (0.01, 0.1, 1.0, 10.0)
_PENALTIES = tuple(np.logspace(-2, 4, 13))
_PARTS = 50


def _rgb(sample: Sample, fields: Sequence[Field]) -> np.ndarray:
    picture = decode.pixels(sample[fields[0].name], least=(2 * _SIDE, 2 * _SIDE))
    return np.asarray(picture.resize((_SIDE, _SIDE)), dtype=np.float32) / 255.0


def histograms(rgb: np.ndarray) -> np.ndarray:
    """Gradient histograms of 8-pixel cells, normalised over blocks of 2 x 2, and a colour histogram.

    rgb (32, 32, 3) in 0..1 -> (3 * 3 * 4 * 9 + 64,) float32.
    """
    grey = rgb.mean(axis=2)
    down, right = np.gradient(grey)
    size, angle = np.hypot(down, right), np.arctan2(down, right) % np.pi
    bins = np.minimum((angle / np.pi * _ANGLES).astype(int), _ANGLES - 1)
    step = _SIDE // _CELLS
    cell = np.add.outer(np.arange(_SIDE) // step * _CELLS, np.arange(_SIDE) // step)
    flat = np.bincount((cell * _ANGLES + bins).ravel(), size.ravel(), minlength=_CELLS**2 * _ANGLES)
    grid = np.sqrt(flat).reshape(_CELLS, _CELLS, _ANGLES)
    blocks = np.stack([grid[i : i + 2, j : j + 2].ravel() for i in range(3) for j in range(3)])
    blocks /= np.linalg.norm(blocks, axis=1, keepdims=True) + 1e-3
    levels = np.minimum((rgb * _COLOURS).astype(int), _COLOURS - 1) @ (16, 4, 1)
    colour = np.bincount(levels.ravel(), minlength=_COLOURS**3) / rgb[..., 0].size
    return np.concatenate([blocks.ravel(), np.sqrt(colour)]).astype(np.float32)


def _fit(features: Callable[[np.ndarray], np.ndarray], reduce: bool) -> Any:
    """Scaled features, to `_PARTS` principal components where asked, then a linear model with C by
    cross-validation, or ridge."""

    def fit(
        samples: Sequence[Sample],
        fields: Sequence[Field],
        targets: np.ndarray,
        *,
        outcome: str,
        seed: int,
        settings: Mapping[str, Any] | None = None,
    ) -> Simple:
        def rows_of(some: Sequence[Sample]) -> np.ndarray:
            return np.stack([features(_rgb(s, fields)) for s in some])

        table = rows_of(samples)
        # no more than the smaller of two folds has rows
        parts = max(1, min(_PARTS, len(table) // 2, table.shape[1]))
        steps = [StandardScaler()] + ([PCA(parts, random_state=seed)] if reduce else [])
        model, found = _simple.linear(
            table,
            np.asarray(targets),
            strengths=_STRENGTHS,
            penalties=_PENALTIES,
            iterations=1000,
            outcome=outcome,
            seed=seed,
            settings=settings,
            first=steps,
        )
        return Simple(lambda some: _simple.said(model, rows_of(some), outcome), found)

    return fit


def plain(samples: Sequence[Sample], fields: Sequence[Field]) -> np.ndarray:
    """Gradient and colour histograms, (N, 388) float32."""
    return np.stack([histograms(_rgb(s, fields)) for s in samples])


PLAIN = "gradient and colour histograms"
CHAMPIONS = (
    Champion("gradient and colour histograms + linear model", _fit(histograms, reduce=False)),
    Champion("principal components of pixels + linear model", _fit(np.ravel, reduce=True)),
)
