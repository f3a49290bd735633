"""The Arrow dataset: rows in a memory-mapped file, large inputs left where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample, SetAside


class ArrowDataset:
    """Rows of an Arrow file; obeys `core.dataset.Dataset`.

    Attributes:
        modality: name of the reader that reads the inputs.
        fields: inputs of a sample.
        set_aside: rows (and stray files) that cannot be used, with reason and remedy.
        notes: sentences about what was guessed or found.
        outcome: "classify" or "regress"; "" without targets.
        target: name of the target column; "" without targets.
        columns: metadata columns that play a part: {"group", "time", "split"} -> column name.
        sensitive: names of the sensitive metadata columns.
        near: near-duplicate radius of the signatures in bits.
    """

    modality: str
    fields: tuple[Field, ...]
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...]
    outcome: str
    target: str
    columns: Mapping[str, str]
    sensitive: tuple[str, ...]
    near: int

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def digest(self) -> str:
        """Of all rows, targets and metadata, order included."""
        raise NotImplementedError

    def digests(self, rows: np.ndarray) -> list[bytes]:
        """Content digests, 16 bytes each; the target is no part of them."""
        raise NotImplementedError

    def samples(self, rows: np.ndarray) -> list[Sample]:
        """Raw samples. Raises DataError when a file has changed since it was opened."""
        raise NotImplementedError

    def targets(self, rows: np.ndarray) -> list[Any]:
        """Raw targets: class names (text, whole numbers, booleans) or numbers; None without."""
        raise NotImplementedError

    def names(self, rows: np.ndarray) -> list[str]:
        """What a person calls each row: a file's path, or "row 17"."""
        raise NotImplementedError

    def metadata(self, rows: np.ndarray) -> Mapping[str, Sequence[Any]]:
        """Columns that are neither input nor target."""
        raise NotImplementedError

    def signatures(self) -> np.ndarray | None:
        """(n, bytes) uint8 of all rows, or None where near-duplicates were not asked for."""
        raise NotImplementedError
