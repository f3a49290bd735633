"""The protocol of a modality's `read.py`: files and cells to samples. Loads no network library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from headstart.core.dataset import Field, Sample


class Read(Protocol):
    """`read.py`: files and cells to samples. Light: loads no network library.

    Attributes:
        SUFFIXES: file endings that are one sample each in class folders, lower case; () for none.
        FILE_KIND: kind of the one field of such a file ("path"); "" for none.
        NEAR: near-duplicate radius in bits between two signatures.
        MANY: whether a sample is made of all columns that this modality claims (a table's row), or
            of the first one only (an image, a text).
        ARRAYS: whether a sample is an array of numbers, so that an array (N, ...) is N samples, and
            numbers in many columns of a table are one input; absent means no.

        WINDOWS: whether a sample may be a window of a longer table: then `load` takes an array of numbers,
            NaN where one is missing; absent means no.

    `claim` meets a column that orders the steps of a sample under a name with " as order per " in it.

    A reader may offer two functions more, for files of a format of its own: `owns(path, asked)`, whether
    it reads the file or folder (`asked`: the person named this kind of data), and `unpack(path)`, its
    columns (name -> one value a row) and notes.
    """

    SUFFIXES: tuple[str, ...]
    FILE_KIND: str
    NEAR: int
    MANY: bool

    def claim(self, name: str, values: Sequence[Any], root: Path) -> str | None:
        """Kind of the field when this modality can read the column, else None.

        `values` are up to 200 non-null cells; `root` is the folder that relative paths start from.
        """
        ...

    def load(self, cell: Any, field: Field, root: Path) -> Any:
        """One cell to its raw value (file bytes, text, number or None). Raises BadRow."""
        ...

    def check(self, sample: Sample, fields: Sequence[Field]) -> None:
        """Cheap check of one raw sample: header, size, emptiness. Raises BadRow."""
        ...

    def content(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        """Canonical bytes of the sample; their digest is the row's key."""
        ...

    def signature(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        """Fixed-length bits; near-duplicates differ in at most NEAR of them. b"": none."""
        ...
