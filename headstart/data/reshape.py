"""Tables whose row is no sample yet: many columns to one list, many rows to one.

A new column's name says how it was made: `t0..t149` holds the columns t0 to t149, `pressure per machine` the
rows of each machine, `day as order per machine` what orders them. Prediction makes it again from a table of
the same form, folded columns by the names that the field keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.core.dataset import Field, SetAside
from headstart.core.reader import Read
from headstart.core.task import Columns, Task
from headstart.data import layout
from headstart.data.delimited import BLANK
from headstart.data.tables import BATCH, Table
from headstart.errors import DataError, PlanError

RANGE, PER, ORDER = "..", " per ", " as order per "
WORDS = frozenset({"id", "ids", "index", "row", "unnamed", "uuid"})


def reshaped(table: Table, task: Task, reader: Read | None) -> tuple[Table, Task]:
    """The table with one sample a row, and the task with the names of its columns.

    Rows are joined where the task names a column `sample`. Columns are folded where the reader takes
    arrays and the table has none. Raises DataError and PlanError.
    """
    if task.columns.order and not task.columns.sample:
        raise PlanError(
            f"The order '{task.columns.order}' was named without a sample. Name the column whose equal "
            "values make one sample, or the time that the test split is the latest part of."
        )
    if task.columns.sample:
        return _gathered(table, task)
    if not getattr(reader, "ARRAYS", False) or any(map(_nested, table.schema.types)):
        return table, task
    return _folded(table, task)


def again(table: Table, fields: Sequence[Field]) -> tuple[Table, str]:
    """A table for prediction in the form of training, with what it lacks made anew; and the column that names
    its rows, or "". Raises DataError."""
    lacking, known = [f.name for f in fields if f.name not in table.columns], set(table.columns)
    made = [(name, ORDER if ORDER in name else PER) for name in lacking]
    rows = [(*name.split(mark, 1), mark) for name, mark in made if mark in name]
    sample = next((last for first, last, _ in rows if {first, last} <= known), "")
    if sample:
        inputs = [first for first, last, mark in rows if last == sample and mark == PER]
        order = next((first for first, last, mark in rows if last == sample and mark == ORDER), "")
        for name in (*inputs, *([order] if order else [])):
            table.require(name, "a column of the table that the model was trained on")
        return gather(table, _joined(table, sample, inputs, order)), sample
    for place in fields:
        if place.columns and place.name in lacking and known & set(place.columns):
            table = _refolded(table, place)
    return table, ""


def _refolded(table: Table, place: Field) -> Table:
    """The columns that a field was made of, by their names. A cell of text costs its row only: the reader
    then sets it aside. Raises DataError for a column that is missing or can hold no numbers."""
    for number, name in enumerate(place.columns, 1):
        told = f"step {number} of the {len(place.columns)} of '{place.name}'"
        table.require(name, f"{told}, which the model was trained on")
        kind = table.schema.field(name).type
        if not _numeric(kind) and not _text(kind):
            raise DataError(
                f"{table.name}: the column '{name}', {told}, holds {kind}. Expected numbers; correct it."
            )
    extra = [
        n for n in table.columns if n not in place.columns and _numeric(table.schema.field(n).type)
    ]
    made = fold(table, place.columns, place.name)
    if not extra:
        return made
    shown = ", ".join(map(repr, extra[:8])) + (" ..." if len(extra) > 8 else "")
    note = f"Not used, as the model was not trained on it: {shown}."
    return replace(made, notes=(*made.notes, note))


def _nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _parts(table: Table, asked: Columns) -> set[str]:
    """Columns that play a part other than input, the guessed target and split among them."""
    head, unsaid = table.head(), list[str]()
    target = layout.find_target(table, head, asked, unsaid)
    split = asked.split or layout.find_split(head, target, asked, unsaid)
    named = {asked.group, asked.time, *asked.sensitive, *asked.drop}
    return {target, split, *named} - {""}


def _folded(table: Table, task: Task) -> tuple[Table, Task]:
    """Numbers that stand side by side as one column of lists."""
    parts, wanted = _parts(table, task.columns), task.columns.inputs
    names = list(wanted) or [
        n
        for n in table.columns
        if n not in parts
        and _numeric(table.schema.field(n).type)
        and not WORDS & set(n.lower().replace("-", "_").replace(" ", "_").split("_"))
    ]
    if len(names) < 2:
        return table, task
    odd = [n for n in names if not _numeric(table.schema.field(n).type)]
    places = [table.columns.index(n) for n in names]
    if odd or places != list(range(places[0], places[0] + len(places))):
        what = f"'{odd[0]}' holds no numbers" if odd else "other columns stand between them"
        raise DataError(
            f"{table.name}: the columns '{names[0]}' to '{names[-1]}' were to be one input, but {what}. "
            "Expected numbers side by side, in order; name the inputs, or move or drop the others."
        )
    made = f"{names[0]}{RANGE}{names[-1]}"
    note = (
        f"The {len(names)} columns '{names[0]}' to '{names[-1]}' are the steps of one input, '{made}'. "
        "If each row is a step instead, name the column that tells the samples apart (sample)."
    )
    folded = fold(table, names, made)
    told = replace(task, columns=replace(task.columns, inputs=(made,)))
    return replace(folded, notes=(*table.notes, note)), told


def fold(table: Table, names: Sequence[str], made: str) -> Table:
    """The columns `names` as one column of lists, `made`, in the place of the first; nulls are NaN.
    Where one of them is text, all are, with nulls for blank cells."""
    kept = [n for n in table.columns if n not in names[1:]]
    order = [made if n == names[0] else n for n in kept]
    kind = pa.string() if any(_text(table.schema.field(n).type) for n in names) else pa.float64()

    def batch(one: pa.RecordBatch) -> pa.RecordBatch:
        columns = [_cells(one.column(n), kind) for n in names]
        flat = pa.array(np.column_stack(columns).ravel(), kind)
        ends = pa.array(np.arange(len(one) + 1, dtype=np.int64) * len(names))
        lists = pa.LargeListArray.from_arrays(ends, flat)
        arrays = [lists if n == names[0] else one.column(n) for n in kept]
        return pa.RecordBatch.from_arrays(arrays, names=order)

    def stream() -> Iterator[pa.RecordBatch]:
        return map(batch, table.stream())

    kinds = [
        pa.field(made, pa.large_list(kind)) if n == names[0] else table.schema.field(n)
        for n in kept
    ]
    folded = {**table.folded, made: tuple(names)}
    return replace(table, schema=pa.schema(kinds), stream=stream, folded=folded)


def _cells(column: pa.Array, kind: pa.DataType) -> np.ndarray:
    """(rows,) float64, or texts with None for blanks."""
    cells = column.cast(kind)
    if _text(kind):
        blank = pc.is_in(pc.utf8_trim_whitespace(cells), pa.array(BLANK))
        cells = pc.if_else(blank, pa.scalar(None, kind), cells)
    made: np.ndarray = cells.to_numpy(zero_copy_only=False)
    return made


@dataclass(frozen=True)
class Joined:
    """How rows become samples.

    Attributes:
        sample: column whose equal values make one sample.
        lists: column -> name of the column of lists that it becomes.
        others: columns of which the value in the sample's first row is kept.
        single: of these, those whose value must be the same in all rows of a sample, or it is set aside.
    """

    sample: str
    lists: Mapping[str, str]
    others: tuple[str, ...]
    single: tuple[str, ...] = ()


def _joined(
    table: Table, sample: str, inputs: Sequence[str], order: str, single: Collection[str] = ()
) -> Joined:
    lists = {name: f"{name}{PER}{sample}" for name in inputs}
    if order:
        lists[order] = f"{order}{ORDER}{sample}"
    others = tuple(n for n in table.columns if n not in lists and n != sample)
    return Joined(sample, lists, others, tuple(n for n in others if n in single))


def _gathered(table: Table, task: Task) -> tuple[Table, Task]:
    """One row a sample, by the columns that the task names."""
    asked = task.columns
    table.require(asked.sample, "the sample column")
    if asked.order:
        table.require(asked.order, "the order column")
    taken = {asked.sample, asked.order} - {""}
    free = replace(asked, inputs=(), drop=(*asked.drop, *taken))
    target = layout.find_target(table, table.head(), free, [])
    parts = _parts(table, replace(free, target=target))
    inputs = [n for n in asked.inputs if n != asked.order] or [
        n for n in table.columns if n not in parts and _numeric(table.schema.field(n).type)
    ]
    if not inputs:
        raise DataError(
            f"{table.name} has no column of numbers beside '{asked.sample}' and the target "
            f"'{target}'. Name the inputs."
        )
    single = parts - {asked.time, *asked.drop}
    how = _joined(table, asked.sample, inputs, asked.order, single)
    made = gather(table, how)
    order = f"ordered by '{asked.order}'" if asked.order else "in the order of the table"
    note = (
        f"The {table.rows} rows are steps of {made.rows} samples, told apart by '{asked.sample}' and "
        f"{order}."
    )
    known = replace(asked, inputs=tuple(how.lists.values()), target=target, order="")
    return replace(made, notes=(*table.notes, note)), replace(task, columns=known)


def gather(table: Table, how: Joined) -> Table:
    """One row a sample, in the order of their first rows; lists in the order of the rows.

    The table is held in memory while its rows are brought together.
    """
    whole = pa.Table.from_batches(table.stream(), schema=table.schema)
    aside = list(table.set_aside)
    known = pc.is_valid(whole.column(how.sample))
    lost = len(whole) - int(pc.sum(known).as_py() or 0)
    if lost:
        remedy = "fill it in, or remove them"
        aside.append(SetAside(f"{lost} rows", f"'{how.sample}' is empty", remedy))
        whole = whole.filter(known)
    codes = pc.dictionary_encode(whole.column(how.sample)).combine_chunks().indices.to_numpy()
    by_sample = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes) if len(codes) else np.zeros(0, np.int64)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    whole = whole.take(pa.array(by_sample)).combine_chunks()
    odd = {name: _several(whole, name, codes[by_sample]) for name in how.single}
    columns: dict[str, pa.Array] = {how.sample: _first(whole, how.sample, ends)}
    for name, made in how.lists.items():
        values = whole.column(name).combine_chunks()
        columns[made] = pa.LargeListArray.from_arrays(pa.array(ends), values)
    for name in how.others:
        columns[name] = _first(whole, name, ends)
    rows = pa.table(columns)
    usable = np.ones(len(sizes), bool)
    for single, differs in odd.items():
        for place in np.flatnonzero(differs & usable):
            name = f"{how.sample} {columns[how.sample][int(place)].as_py()}"
            reason = f"its rows differ in '{single}'"
            aside.append(SetAside(name, reason, "give all of its rows one value"))
        usable &= ~differs
    rows = rows.filter(pa.array(usable))

    def stream() -> Iterator[pa.RecordBatch]:
        yield from rows.to_batches(max_chunksize=BATCH)

    return replace(table, schema=rows.schema, rows=len(rows), stream=stream, set_aside=tuple(aside))


def _first(whole: pa.Table, name: str, ends: np.ndarray) -> pa.Array:
    """The value in each sample's first row."""
    return whole.column(name).combine_chunks().take(pa.array(ends[:-1]))


def _several(whole: pa.Table, name: str, codes: np.ndarray) -> np.ndarray:
    """(samples,) whether rows of one sample differ in the column; `codes` are sorted."""
    kinds = pc.dictionary_encode(whole.column(name)).combine_chunks().indices
    value = pc.fill_null(kinds, -1).to_numpy(zero_copy_only=False)
    differs = (np.diff(codes) == 0) & (np.diff(value) != 0)
    odd = np.zeros(int(codes[-1]) + 1 if len(codes) else 0, bool)
    odd[codes[1:][differs]] = True
    return odd
