"""Raw rows to usable ones: loaded, checked, digested; or set aside with a reason."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from headstart.core import digest, machine
from headstart.core.dataset import Field, SetAside
from headstart.core.reader import Read
from headstart.data import answers, containers, levels, positions
from headstart.data.layout import Layout
from headstart.data.tables import Table
from headstart.errors import BadRow, DataError

LIGHT = {
    "text": pa.large_string(),
    "category": pa.large_string(),
    "number": pa.float64(),
    "date": pa.float64(),
    "words": positions.KEPT,
    "passage": pa.large_string(),
}
"""Kinds whose loaded value is kept in the file; "bytes" too. Others are loaded when asked for."""
KEPT = LIGHT | {"bytes": pa.large_binary()}
MISSING = {"", "nan", "null", "#n/a", "n/a", "na"}
THREADS = 8


@dataclass(frozen=True)
class Row:
    """One usable row; `kept` holds loaded values of kept fields and raw cells of the others.

    Attributes:
        stats: size in bytes and time of change in ns of every field that is a file.
        group: where the layout asks for one that follows from the sample.
    """

    place: int
    name: str
    digest: bytes
    signature: bytes
    target: Any
    kept: tuple[Any, ...]
    stats: tuple[tuple[int, int], ...]
    group: str | None = None


@dataclass(frozen=True)
class Part:
    """The outcome of one batch."""

    batch: pa.RecordBatch
    rows: list[Row]
    set_aside: list[SetAside]


def is_file(field: Field, reader: Read) -> bool:
    """Whether the field's cells are paths of files."""
    return bool(reader.FILE_KIND) and field.kind == reader.FILE_KIND


def stat(cell: Any, root: Path) -> tuple[int, int]:
    """Size in bytes and time of change in ns. Raises BadRow."""
    try:
        found = os.stat(root / str(cell))
    except (OSError, ValueError) as error:
        reason = "the file is missing" if isinstance(error, FileNotFoundError) else str(error)
        raise BadRow(reason, "correct the path, or remove the row") from error
    return found.st_size, found.st_mtime_ns


class Sieve:
    """Turns the rows of a table into usable ones, batch by batch.

    Args:
        signatures: whether near-duplicates are asked for.
    """

    def __init__(self, layout: Layout, reader: Read, root: Path, *, signatures: bool) -> None:
        self.layout, self.reader, self.root = layout, reader, root
        self.signatures, self.spans = signatures, False
        self.files = tuple(is_file(f, reader) for f in layout.fields)
        self.heavy = any(f.base not in LIGHT for f in layout.fields)

    def parts(self, table: Table) -> Iterator[Part]:
        """All batches in order; files are read by a pool of threads."""
        start = 0
        if self.layout.target:
            self.spans = positions.is_spans(table.schema.field(self.layout.target).type)
        with ExitStack() as stack:
            workers = min(THREADS, 2 * machine.cores())
            pool = stack.enter_context(ThreadPoolExecutor(workers)) if self.heavy else None
            spread = pool.map if pool else map
            for batch in table.stream():
                made = list(spread(self._row, *self._columns(batch, start)))
                rows = [m for m in made if isinstance(m, Row)]
                yield Part(batch, rows, [m for m in made if isinstance(m, SetAside)])
                start += len(batch)

    def _columns(self, batch: pa.RecordBatch, start: int) -> list[Sequence[Any]]:
        """Place, name, target and cells of every row."""
        empty = [None] * len(batch)
        layout = self.layout
        names = [f"row {start + i + 1}" for i in range(len(batch))]
        if layout.name:
            cells = batch.column(layout.name).to_pylist()
            names = [str(c) if c else n for c, n in zip(cells, names, strict=True)]
        targets = batch.column(layout.target).to_pylist() if layout.target else empty
        time = layout.columns.get("time")
        times = batch.column(time).to_pylist() if time and layout.target else [0] * len(batch)
        inputs = [batch.column(f.name).to_pylist() for f in layout.fields]
        return [range(len(batch)), names, targets, times, list(zip(*inputs, strict=True))]

    def _row(
        self, place: int, name: str, target: Any, time: Any, cells: tuple[Any, ...]
    ) -> Row | SetAside:
        try:
            if self.layout.target:
                self._check_target(target)
            if time is None or time != time:
                raise BadRow(
                    f"no time in '{self.layout.columns['time']}'", "fill it in, or remove the row"
                )
            return self._usable(place, name, target, cells)
        except BadRow as bad:
            return SetAside(name, bad.reason, bad.remedy)
        except OSError as error:
            return SetAside(name, f"cannot be read ({error.strerror or error})", "check the file")

    def _usable(self, place: int, name: str, target: Any, cells: tuple[Any, ...]) -> Row:
        reader, fields = self.reader, self.layout.fields
        kept, stats, sample = list[Any](), list[tuple[int, int]](), dict[str, Any]()
        for field, cell, file in zip(fields, cells, self.files, strict=True):
            if cell is None and len(fields) == 1 and not reader.MANY:
                raise BadRow(f"'{field.name}' is empty", "fill it in, or remove the row")
            if file:
                stats.append(stat(cell, self.root))
            value = reader.load(cell, field, self.root)
            sample[field.name] = value
            kept.append(value if field.base in KEPT else cell)
        reader.check(sample, fields)
        if self.layout.outcome == positions.OUTCOME and self.layout.target:
            cell = self._labelled(cells)
            target = positions.labelled(target, cell, reader, spans=self.spans)
        if self.layout.outcome == answers.OUTCOME and self.layout.target:
            target = answers.located(target, sample[fields[1].name], reader)
        content = digest.row(reader.content(sample, fields))
        signature = reader.signature(sample, fields) if self.signatures else b""
        wanted = self.layout.derived
        group = containers.groups(reader)[wanted](sample, fields) if wanted else None
        return Row(place, name, content, signature, target, tuple(kept), tuple(stats), group)

    def _labelled(self, cells: tuple[Any, ...]) -> Any:
        """The cell whose units are labelled, as the table holds it."""
        kinds = [f.kind for f in self.layout.fields]
        return cells[kinds.index(self.reader.UNITS)]  # type: ignore[attr-defined]

    def _check_target(self, target: Any) -> None:
        """Raises BadRow where there is no label, no finite number to regress, or none of the levels."""
        column = self.layout.target
        blank = isinstance(target, str) and target.strip().lower() in MISSING
        number = isinstance(target, float)
        if target is None or blank or (number and math.isnan(target)):
            raise BadRow(f"no label in '{column}'", "label the row, or remove it")
        if number and math.isinf(target):
            raise BadRow(f"the target in '{column}' is infinite", "correct the number")
        levels.check(target, self.layout.levels, column)


def enough(
    aside: Sequence[SetAside],
    total: int,
    tolerate: float,
    where: str,
    listed: Path | None,
    *,
    what: str = "rows",
) -> None:
    """Stops when more rows, or parts of them, were set aside than the task tolerates. Raises DataError."""
    if not total or len(aside) <= tolerate * total:
        return
    alike: dict[tuple[str, str], list[str]] = {}
    for one in aside:
        alike.setdefault((one.reason, one.remedy), []).append(one.name)
    first = "; ".join(
        f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''}: {reason} ({remedy})"
        for (reason, remedy), names in list(alike.items())[:5]
    )
    full = f" All of them: {listed}." if listed else ""
    raise DataError(
        f"{where}: {len(aside)} of {total} {what} cannot be used ({len(aside) / total:.1%}); at most "
        f"{tolerate:.1%} may be set aside. The first: {first}.{full} Correct them, or allow more "
        f"with --tolerate {min(1.0, math.ceil(100 * len(aside) / total) / 100):g}."
    )
