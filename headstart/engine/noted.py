"""What preprocessing noted of single rows."""

from __future__ import annotations

import numpy as np

from headstart.core.dataset import Dataset
from headstart.core.modality import Transform

CHUNK = 256  # rows whose samples are held at a time


def noted(transform: Transform, dataset: Dataset, rows: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Notes of each row, () for one without; () altogether where no row has any.

    Args:
        rows: (n,) row numbers that the transform can read.
    """
    tell = getattr(transform, "notes", None)
    if tell is None:
        return ()
    found: list[tuple[str, ...]] = []
    for begin in range(0, len(rows), CHUNK):
        found += [tell(sample) for sample in dataset.samples(rows[begin : begin + CHUNK])]
    return tuple(found) if any(found) else ()
