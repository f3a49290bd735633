"""Coordinates in which the features' scatter is diagonal, or nearly, and the L2 penalty keeps its meaning.

Few rows: the solution of an L2-penalised problem lies in the row space of its (centred, scaled) training
part, so the eigenvectors of the rows' Gram matrix replace the features exactly (Hastie and Tibshirani
2004, Biostatistics 5). Many rows: any rotation of the features is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Standard = Literal["each", "whole", "none"]


@dataclass(frozen=True)
class Scaling:
    """Mean and scale (width,) float64 of a training part."""

    mean: Array
    scale: Array

    @classmethod
    def of(cls, features: Array, standardise: Standard) -> Scaling:
        """Of each column by itself, of all columns together (which keeps their proportions), or none."""
        ones = np.ones(len(features), features.dtype)
        guess = (ones @ features) / ones.dtype.type(len(features))
        centred = features - guess
        shift = (ones @ centred).astype(np.float64) / len(features)
        mean, scale = guess + shift, np.ones(len(guess))
        if standardise != "none":
            centred *= centred
            spread = np.sqrt(np.maximum((ones @ centred) / len(features) - shift**2, 0.0))
            varies = spread > 10 * np.finfo(features.dtype).eps * np.abs(mean)
            if standardise == "whole" and varies.any():
                spread = np.full_like(spread, np.sqrt((spread[varies] ** 2).mean()))
            scale = np.where(varies, spread, 1.0)
        return cls(mean, scale)

    def apply(self, features: Array) -> Array:
        centred = features - self.mean.astype(features.dtype)
        centred *= (1.0 / self.scale).astype(features.dtype)
        return np.asarray(centred)


@dataclass(frozen=True)
class Basis:
    """Rows in coordinates that keep the penalty's meaning, and the way back.

    Attributes:
        train: (rows, parts) float32, the last column ones.
        valid: (held-out rows, parts) float32.
        scaling: of the training part.
        back: matrices whose product (parts - 1, width) has as rows orthonormal directions in standardised
            features: the shared rotation's transpose, or the row space as two factors.
    """

    train: Array
    valid: Array
    scaling: Scaling
    back: tuple[Array, ...]

    def unfold(self, weight: Array) -> tuple[Array, Array]:
        """(outputs, parts) here to (outputs, width) and (outputs,) for features as stored, float64."""
        plain = weight[:, :-1].astype(np.float64)
        for factor in self.back:
            plain = plain @ factor
        plain = plain / self.scaling.scale
        return plain, weight[:, -1] - plain @ self.scaling.mean

    def fold(self, plain: Array, bias: Array) -> Array:
        """The nearest weights here (outputs, parts); inverse of `unfold` within the basis."""
        inside = plain * self.scaling.scale
        for factor in reversed(self.back):
            inside = inside @ factor.T
        return np.column_stack([inside, bias + plain @ self.scaling.mean])


def _with_ones(table: Array) -> Array:
    out = np.empty((len(table), table.shape[1] + 1), np.float32)
    out[:, :-1] = table
    out[:, -1] = 1
    return out


def row_space(train: Array, valid: Array, scaling: Scaling) -> Basis:
    """Few rows: the row space of the training part, by the eigenvectors of its Gram matrix."""
    inside = scaling.apply(train.astype(np.float64))
    values, vectors = np.linalg.eigh(inside @ inside.T)
    kept = values > max(1e-13 * values[-1], 1e-300)
    roots = np.sqrt(values[kept])
    short = np.ascontiguousarray((vectors[:, kept] / roots).T)
    outside = (scaling.apply(valid.astype(np.float64)) @ inside.T) @ short.T
    return Basis(
        _with_ones(vectors[:, kept] * roots), _with_ones(outside), scaling, (short, inside)
    )


def rotated(train: Array, valid: Array, scaling: Scaling, turn: Array) -> Basis:
    """Many rows: any rotation is exact; one close to the eigenvectors of the scatter is fast."""
    thin = turn.astype(train.dtype)
    inside, outside = (_with_ones(scaling.apply(part) @ thin) for part in (train, valid))
    return Basis(inside, outside, scaling, (turn.T,))
