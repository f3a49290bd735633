"""Where rows go when the store has no room for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from headstart.core.network import FEATURES
from headstart.core.store import Row


class Loose:
    """A shelf for one call, where the store has no room for pooled features."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Row] = {}

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Places in `keys` that are not held."""
        return [p for p, key in enumerate(keys) if key not in self._rows]

    def put(self, rows: Iterable[tuple[bytes, Row]]) -> None:
        """Holds copies."""
        self._rows.update((k, {n: a.copy() for n, a in row.items()}) for k, row in rows)

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """Rows in the order of `keys`. Raises KeyError."""
        return [self._rows[k] for k in keys]

    def matrix(self, keys: Sequence[bytes]) -> np.ndarray:
        """(N, width) float32. Raises KeyError."""
        return np.stack([self._rows[k][FEATURES] for k in keys])
