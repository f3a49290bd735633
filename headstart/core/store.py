"""The feature store's protocol: rows by content, in namespaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from headstart.core import digest

Row = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Space:
    """All that a stored row depends on beside its sample; one folder a space.

    Attributes:
        weights: digest of the backbone's tensors.
        cut: stage before which the state was taken; -1: pooled features.
        transform: digest of the preprocessing with its fitted constants.
        executor: name and version of what computed it ("onnx 1.31").
        profile: "exact" or "fast".
        processor: features of the processor that change rounding.
        view: number of the augmented view; -1: none.
    """

    weights: str
    cut: int
    transform: str
    executor: str
    profile: str
    processor: str
    view: int = -1

    @property
    def name(self) -> str:
        """Folder name, 32 hexadecimal digits."""
        return digest.value(self)


class Shelf(Protocol):
    """One open namespace."""

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Places in `keys` that are not stored."""
        ...

    def put(self, rows: Iterable[tuple[bytes, Row]]) -> None:
        """Stores rows in one transaction: all or none."""
        ...

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """Rows in the order of `keys`. Raises KeyError for one that is missing."""
        ...

    def matrix(self, keys: Sequence[bytes]) -> np.ndarray:
        """(N, width) float32 of the tensor "features"."""
        ...


class Store(Protocol):
    """Opens shelves; knows its size and its cap."""

    def shelf(self, space: Space) -> Shelf: ...

    def room(self) -> int:
        """Bytes that may still be written: below the cap and the free disk."""
        ...
