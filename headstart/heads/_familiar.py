"""How far a row lies from the nearest of some stored training rows, in what is usual among these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

KEPT = 256
PLACES = 32
"""Random directions in which rows are kept; they keep distances (Johnson and Lindenstrauss 1984)."""
USUAL = 0.95


@dataclass(frozen=True)
class Familiar:
    """Stored rows.

    Attributes:
        scale: (width,) deviation of each feature.
        rows: (K, 32).
        usual: 95 % quantile of the distance of a stored row from the nearest of another group.
    """

    scale: np.ndarray
    rows: np.ndarray
    usual: float

    def strange(self, features: np.ndarray) -> np.ndarray:
        """(N, width) -> (N,): distance from the nearest stored row; 1 is rarely exceeded in training."""
        found = _distances(_turned(features, self.scale), self.rows).min(axis=1)
        return np.asarray(found / self.usual)

    def state(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"scale": self.scale.tolist(), "rows": self.rows.tolist(), "usual": self.usual}


def learn(features: np.ndarray, groups: np.ndarray) -> Familiar:
    """Rows spread evenly over the training part are kept; `groups` (N,) tell which belong together."""
    kept = np.unique(
        np.linspace(0, len(features) - 1, min(len(features), KEPT)).round().astype(int)
    )
    spread = features.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 1e-9, spread, np.inf).astype(np.float32)
    rows = _turned(features[kept], scale)
    apart = _distances(rows, rows)
    same = groups[kept][:, None] == groups[kept][None]
    if same.all():  # a single group: only a row itself is no neighbour
        same = np.eye(len(kept), dtype=bool)
    apart[same] = np.inf
    nearest = apart.min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    usual = float(np.quantile(nearest, USUAL)) if len(nearest) else 1.0
    return Familiar(np.where(np.isinf(scale), 0.0, scale), rows, max(usual, 1e-9))


def restore(state: Mapping[str, Any]) -> Familiar:
    """The rows whose `state()` this is."""
    scale, rows = (np.array(state[k], np.float32) for k in ("scale", "rows"))
    return Familiar(scale, rows, float(state["usual"]))


def _turned(features: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(N, 32) float32; numpy's legacy generator because its stream is frozen."""
    width = features.shape[1]
    inverse = np.divide(1.0, scale, out=np.zeros(width), where=(scale > 0) & np.isfinite(scale))
    draw = np.random.RandomState(0).standard_normal((width, PLACES)) / np.sqrt(PLACES)
    return np.asarray(features @ (draw * inverse[:, None]), np.float32)


def _distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, K) Euclidean."""
    square = (rows**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2.0 * (rows @ others.T)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)), np.float64)
