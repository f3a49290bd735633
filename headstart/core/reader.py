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
        UNITS: kind of a field whose units (words) carry a label each; "" or absent: no field has any.
            Then there is `places` too: a cell as the table holds it -> (start, end) of every unit, in the
            measure in which spans are given (characters of a text).
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
