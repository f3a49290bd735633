"""The Arrow dataset: rows in a memory-mapped file, large inputs left where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.core import digest
from headstart.core.dataset import Field, Sample, SetAside
from headstart.core.reader import Read
from headstart.data import answers, positions, tags
from headstart.data.rows import KEPT, THREADS, is_file, stat
from headstart.errors import BadRow, DataError


@dataclass(frozen=True)
class About:
    """What is known of a dataset beside its rows; kept as JSON next to the Arrow file."""

    modality: str
    fields: tuple[Field, ...]
    digest: str
    outcome: str = ""
    target: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    total: int = 0
    near: int = 0
    build: str = ""
    levels: tuple[str, ...] = ()
    also: Mapping[str, str] = field(default_factory=dict)


class ArrowDataset:
    """Rows of an Arrow file; obeys `core.dataset.Dataset`.

    Args:
        batches: record batches with the columns that `opening` writes.
        root: folder that relative paths in cells start from.

    Attributes:
        modality: name of the reader that reads the inputs.
        fields: inputs of a sample.
        set_aside: rows (and stray files) that cannot be used, with reason and remedy.
        notes: sentences about what was guessed or found.
        outcome: a file name of `heads/`; "" without targets.
        target: name of the target column; "" without targets.
        columns: metadata columns that play a part: "group", "time", "split", "origin" -> column name.
        sensitive: names of the sensitive metadata columns.
        near: near-duplicate radius of the signatures in bits.
        total: rows that were there before any was set aside.
        levels: values of the target in rising order, where they are known to have one.
        also: further target, which is a metadata column -> its outcome.
        form: what it takes to make rows of another table, where rows are not the table's own.
    """

    form: Mapping[str, Any] = {}
    levels: tuple[str, ...] = ()
    also: Mapping[str, str] = {}

    def __init__(
        self, batches: Sequence[pa.RecordBatch], about: About, reader: Read, root: Path
    ) -> None:
        self._batches, self._about = [b for b in batches if len(b)], about
        self._reader, self.root = reader, root
        self._ends = np.cumsum([len(b) for b in self._batches], dtype=np.int64)
        self.modality: str = about.modality
        self.fields: tuple[Field, ...] = about.fields
        self.set_aside: tuple[SetAside, ...] = about.set_aside
        self.notes: tuple[str, ...] = about.notes
        self.outcome, self.target = about.outcome, about.target
        self.columns: Mapping[str, str] = about.columns
        self.sensitive, self.near, self.total = about.sensitive, about.near, about.total
        self.levels, self.also = about.levels, about.also

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def digest(self) -> str:
        """Of all rows, targets and metadata, order included."""
        return self._about.digest

    def digests(self, rows: np.ndarray) -> list[bytes]:
        """Content digests, 16 bytes each; the target is no part of them."""
        return [r.tobytes() for r in self.digest_array[np.asarray(rows, np.int64)]]

    def samples(self, rows: np.ndarray) -> list[Sample]:
        """Raw samples. Raises DataError when a file has changed since the data were opened."""
        names = self.names(rows)
        columns = [self._values(f, rows, names) for f in self.fields]
        return [
            dict(zip((f.name for f in self.fields), values, strict=True))
            for values in zip(*columns, strict=True)
        ]

    def targets(self, rows: np.ndarray) -> list[Any]:
        """Raw targets: class names (text, whole numbers, booleans), numbers, tuples of tags or of labels of
        positions, or answers; None without."""
        found = self._take("_target", rows)
        if self.outcome == tags.OUTCOME:
            return [None if v is None else tags.raw(v) for v in found]
        if self.outcome == positions.OUTCOME:
            return [None if v is None else tuple(v) for v in found]
        if self.outcome == answers.OUTCOME:
            texts = self._take(f"in:{self.fields[1].name}", rows)
            return answers.raw(found, texts, self._reader)
        if self.outcome == "regress":
            return [None if v is None else float(v) for v in found]
        return [int(v) if isinstance(v, float) and v.is_integer() else v for v in found]

    def names(self, rows: np.ndarray) -> list[str]:
        """What a person calls each row: a file's path, or "row 17" (counted from 1)."""
        return self._take("_name", rows)

    def metadata(self, rows: np.ndarray) -> Mapping[str, Sequence[Any]]:
        """Columns that are neither input nor target."""
        return {name: self._take(f"meta:{name}", rows) for name in self._about.metadata}

    def filled(self, by: str) -> list[tuple[Any, int, dict[str, int]]]:
        """Every value of a metadata column, its rows, and by field the cells there that are not missing."""
        names = [f.name for f in self.fields]
        counts: Any = [(f"in:{n}", "count") for n in names]
        whole = pa.Table.from_batches(self._batches)
        made = whole.group_by(f"meta:{by}", use_threads=False).aggregate(
            [*counts, ([], "count_all")]
        )
        return [
            (row[f"meta:{by}"], row["count_all"], {n: row[f"in:{n}_count"] for n in names})
            for row in made.to_pylist()
        ]

    def signatures(self) -> np.ndarray | None:
        """(n, bytes) uint8 of all rows, or None where near-duplicates were not asked for.

        A row without a signature, or with one of another length, gets bits drawn from its content:
        near to nothing but its own copies.
        """
        cells = [c for b in self._batches for c in b.column("_signature").to_pylist()]
        size = max((len(c) for c in cells), default=0)
        if not size:
            return None
        filled = [
            c if len(c) == size else (d * (size // len(d) + 1))[:size]
            for c, d in zip(cells, self.digests(np.arange(len(self))), strict=True)
        ]
        return np.frombuffer(b"".join(filled), np.uint8).reshape(len(self), size)

    @cached_property
    def digest_array(self) -> np.ndarray:
        """(n, 16) uint8 content digests of all rows."""
        cells = [c for b in self._batches for c in b.column("_digest").to_pylist()]
        return np.frombuffer(b"".join(cells), np.uint8).reshape(len(self), digest.ROW_BYTES)

    def changed(self) -> str:
        """Path of the first file that is not what it was, or ""."""
        rows = np.arange(len(self))
        for place in (f for f in self.fields if is_file(f, self._reader)):
            cells = self._take(f"in:{place.name}", rows)
            for cell, known in zip(cells, self._stats(place, rows), strict=True):
                try:
                    if stat(cell, self.root) != known:
                        return str(cell)
                except BadRow:
                    return str(cell)
        return ""

    def _stats(self, place: Field, rows: np.ndarray) -> list[tuple[int, int]]:
        sizes, times = (self._take(f"{k}:{place.name}", rows) for k in ("size", "mtime"))
        return list(zip(sizes, times, strict=True))

    def _values(self, place: Field, rows: np.ndarray, names: Sequence[str]) -> list[Any]:
        """One field's raw values; what is not kept in the file is loaded now."""
        cells = self._take(f"in:{place.name}", rows)
        if place.base in KEPT and not is_file(place, self._reader):
            return cells
        known: Sequence[tuple[int, int] | None] = [None] * len(cells)
        if is_file(place, self._reader):
            known = self._stats(place, rows)

        def load(cell: Any, name: str, before: tuple[int, int] | None) -> Any:
            try:
                if before and stat(cell, self.root) != before:
                    raise BadRow("it has changed since the data were opened", "open the data again")
                return self._reader.load(cell, place, self.root)
            except (BadRow, OSError) as error:
                raise DataError(
                    f"{name} was readable when the data were opened and is not now: {error}. "
                    "Leave the files as they are during a run, or start it again."
                ) from error

        if len(cells) < 4:
            return list(map(load, cells, names, known))
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(load, cells, names, known))

    def _take(self, column: str, rows: np.ndarray) -> list[Any]:
        """Cells of some rows, in their order; touches only the batches that hold them."""
        wanted = np.asarray(rows, np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise DataError(f"Row {wanted.max()} was asked for; the rows are 0 to {len(self) - 1}.")
        place = np.searchsorted(self._ends, wanted, side="right")
        found: list[Any] = [None] * len(wanted)
        for number in np.unique(place):
            here = np.flatnonzero(place == number)
            start = int(self._ends[number]) - len(self._batches[number])
            cells = self._batches[number].column(column).take(pa.array(wanted[here] - start))
            for spot, cell in zip(here.tolist(), cells.to_pylist(), strict=True):
                found[spot] = cell
        return found
