"""Rows of different length: the features of positions, and outputs padded with NaN behind a row's end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Ragged:
    """Features of the positions of some rows, without padding.

    Args:
        flat: (positions of all rows, width), row after row.
        lengths: (rows,) positions of each row.
    """

    def __init__(self, flat: np.ndarray, lengths: np.ndarray) -> None:
        self.flat, self.lengths = flat, np.asarray(lengths, np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        return self.flat.nbytes

    def __getitem__(self, places: Any) -> Ragged:
        """The rows at some places, in their order."""
        lengths = self.lengths[places]
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Ragged(self.flat[np.repeat(self._starts[places], lengths) + within], lengths)

    def padded(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, longest, width) with zeros behind each row's end, and the mask (rows, longest)."""
        longest = int(self.lengths.max(initial=1))
        mask = np.arange(longest)[None] < self.lengths[:, None]
        whole = np.zeros((len(self), longest, self.flat.shape[1]), self.flat.dtype)
        whole[mask] = self.flat
        return whole, mask


def fitted(outputs: np.ndarray, length: int) -> np.ndarray:
    """Outputs (..., positions, classes) with `length` positions: cut, or NaN at the end."""
    short = length - outputs.shape[-2]
    if short <= 0:
        return outputs[..., :length, :]
    rest = np.full((*outputs.shape[:-2], short, outputs.shape[-1]), np.nan, outputs.dtype)
    return np.concatenate([outputs, rest], axis=-2)


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Outputs of rows one after another; those of positions, (rows, positions, classes), get as many
    positions as the longest has."""
    if parts[0].ndim == 3:
        longest = max(part.shape[1] for part in parts)
        parts = [fitted(part, longest) for part in parts]
    return np.concatenate(parts)
