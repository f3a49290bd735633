"""Ridge regression with its penalty and its certainty from leave-one-out predictions, which cost nothing.

With the Gram matrix's eigenvalues, the prediction of every row by a fit without it has a closed form
(Rifkin and Lippert 2007, MIT-CSAIL-TR-2007-025). As MiniRocket's authors do, classes are regressed on
-1 and 1; scores become probabilities by the temperature that suits the left-out rows best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

PENALTIES = tuple(np.logspace(-3, 3, 13))
"""Times the mean square of a row's features."""


@dataclass(frozen=True)
class Ridge:
    """A fitted model.

    Attributes:
        weight: (width, outputs).
        bias: (outputs,).
        penalty: the chosen one.
        sharpness: factor on scores before the softmax; 0 for numbers.
    """

    mean: np.ndarray
    spread: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    penalty: float
    sharpness: float

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(N, width) -> probabilities (N, classes), or numbers (N,)."""
        said = ((rows - self.mean) / self.spread) @ self.weight + self.bias
        return softmax(self.sharpness * said, axis=1) if self.sharpness else said[:, 0]


def fit(
    rows: np.ndarray, targets: np.ndarray, *, classes: int, penalty: float | None = None
) -> Ridge:
    """Rows (N, width), targets (N,): class numbers, or numbers where `classes` is 0."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.where(spread > 1e-6, spread, 1.0)
    scaled = ((rows - mean) / spread).astype(np.float64)
    wanted = np.where(np.eye(classes)[targets.astype(int)] > 0, 1.0, -1.0) if classes else targets
    wanted = wanted.reshape(len(rows), -1).astype(np.float64)
    bias = wanted.mean(axis=0)
    gram = scaled @ scaled.T
    unit = float(np.trace(gram)) / len(rows) or 1.0
    values, vectors = np.linalg.eigh(gram / unit)
    turned = vectors.T @ (wanted - bias)
    tried = PENALTIES if penalty is None else (penalty,)
    best, chosen, held, found = np.inf, turned, wanted, tried[0]
    for one in tried:
        inverse = 1.0 / (np.maximum(values, 0.0) + one)
        dual = vectors @ (inverse[:, None] * turned)
        own = one * (vectors**2 @ inverse) - 1.0 / len(rows)  # 1 less a row's say in its prediction
        missed = one * dual / np.maximum(own, 1e-12)[:, None]
        error = float((missed**2).mean())
        if error < best:
            best, chosen, held, found = error, dual, wanted - missed, one
    sharp = _sharpness(held, targets.astype(int)) if classes else 0.0
    return Ridge(mean, spread, scaled.T @ chosen / unit, bias, float(found), sharp)


def _sharpness(held: np.ndarray, targets: np.ndarray) -> float:
    """The factor under which left-out scores have the least log loss."""
    rows = np.arange(len(targets))

    def loss(power: float) -> float:
        return -float(log_softmax(np.exp(power) * held, axis=1)[rows, targets].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.5), method="bounded").x))
