"""The protocol of a modality's `read.py`: files and cells to samples. Loads no network library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headstart.core.dataset import Field, Sample, SetAside


@dataclass(frozen=True)
class Gathered:
    """Rows that a reader made of what is no table.

    Attributes:
        columns: name -> cells, all of one length; the reader claims one or more of them.
        notes: sentences for a person.
        set_aside: parts that are no rows, with reason and remedy.
        among: what `set_aside` was taken from, and how many of them there were, where these are parts of
            rows: ("edges", 5429). They are then tolerated by their own share.
        made_of: column -> what it was made of, as only the reader spells it. The field keeps it as its
            `columns`, and `gather` is given it back where rows are to be predicted.
        naming: column whose cells name the rows and are nothing else; "": rows are numbered.
    """

    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    among: tuple[str, int] = ("", 0)
    made_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    naming: str = ""


class Read(Protocol):
    """`read.py`: files and cells to samples. Light: loads no network library.

    Two names are optional. `gather(thing, asked, named=False, fields=())` takes a path or an object in
    memory that only this modality knows (several files that belong together, a library's own type) and
    gives `Gathered` rows, or None for what it does not know; `asked` are the task's `Columns`, None where
    rows are to be predicted, and `fields` are then those of training; `named`: the person named this kind
    of data.
    `GROUPS` maps names to functions (sample, fields) -> text: groups that follow from a sample, which
    `columns.group` may name where the data have no such column.

    `drawn(arrays, generator)` turns what a generator draws into cells as `load` takes them, or gives None
    for what this modality does not read; absent, readers of `ARRAYS` take arrays as they are.

    Attributes:
        SUFFIXES: file endings that are one sample each in class folders, lower case; () for none.
        FILE_KIND: kind of the one field of such a file ("path"); "" for none.
        NEAR: near-duplicate radius in bits between two signatures.
        MANY: whether a sample is made of all columns that this modality claims (a table's row), or
            of the first one only (an image, a text).
        ARRAYS: whether a sample is an array of numbers, so that an array (N, ...) is N samples, and
            numbers in many columns of a table are one input; absent means no.
        GAPS: whether a sample may lack a field, so that a column that does not come is one of missing
            values; absent means no.
        UNITS: kind of a field whose units (words) carry a label each; "" or absent: no field has any.
            Then there is `places` too: a cell as the table holds it -> (start, end) of every unit, in the
            measure in which spans are given (characters of a text).

        PASSAGE: kind of a field in which a span answers a question; "" or absent: there is none. Then there
            is `places` too.
        WINDOWS: whether a sample may be a window of a longer table: then `load` takes an array of numbers,
            NaN where one is missing; absent means no.

    `claim` meets a column that orders the steps of a sample under a name with " as order per " in it.

    Beside `gather` a reader may offer `CONTAINERS`: file ending -> what such a file has to hold, for a
    person ("series: x (N, channels, T) and y (N,)").

    A reader may also offer `refused(name, values) -> str`: why a column that it did not claim is no input,
    for a person; "" where there is no more to say.
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
