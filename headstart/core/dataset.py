"""Dataset, split and rows set aside: values and protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One named input of a sample.

    Attributes:
        name: column name.
        kind: what the modality's reader called it ("path", "bytes", "text", "number", "category",
            "date"). What follows a colon says how its cells are written ("number:comma:kg"); only that
            reader knows what it means.
        columns: the columns of a table that were folded into this one, in order, or what the modality's
            reader made it of (`Gathered.made_of`); () for none.
    """

    name: str
    kind: str
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))  # JSON gives lists

    @property
    def base(self) -> str:
        """The kind without how it is written."""
        return self.kind.partition(":")[0]


@dataclass(frozen=True)
class SetAside:
    """A row that cannot be used, kept with its reason."""

    name: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Split:
    """Row numbers of the parts; the test rows are sealed (see `data/seal.py`).

    Attributes:
        train, test: (n,) int64 row numbers, sorted.
        how: in words ("stratified 75/25, seed 0; 3 near-duplicate groups kept together").
        digest: of data and membership; openings of the test split are counted under it.
    """

    train: np.ndarray
    test: np.ndarray
    how: str
    digest: str


class Dataset(Protocol):
    """Rows with a digest, inputs, a raw target and metadata; memory-mapped, never all in memory."""

    modality: str
    fields: tuple[Field, ...]
    set_aside: tuple[SetAside, ...]

    def __len__(self) -> int: ...

    @property
    def digest(self) -> str:
        """Of all rows, targets and metadata, order included."""
        ...

    def digests(self, rows: np.ndarray) -> list[bytes]:
        """Content digests, 16 bytes each; the target is no part of them."""
        ...

    def samples(self, rows: np.ndarray) -> list[Sample]:
        """Raw samples: field name -> bytes, text or number, as the modality's `batch` reads them."""
        ...

    def targets(self, rows: np.ndarray) -> list[Any]: ...

    def names(self, rows: np.ndarray) -> list[str]:
        """What a person calls each row: a file's path, or "row 17"."""
        ...

    def metadata(self, rows: np.ndarray) -> Mapping[str, Sequence[Any]]: ...
