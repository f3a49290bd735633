"""Which column plays which part: what the task names is checked, the rest is guessed and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.core.dataset import Field
from headstart.core.reader import Read
from headstart.core.task import Columns, Task
from headstart.data import answers, containers, hints, levels, positions
from headstart.data.outcomes import guessed
from headstart.data.tables import Table
from headstart.errors import DataError, nearest

TARGETS = ("label", "target", "class", "y", "category")
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
PARTS |= dict.fromkeys(("val", "valid", "validation", "dev"), "validation")
FEW = 50
"""A column is guessed to be the target when it has at most so many distinct values."""
CELLS = 200


@dataclass(frozen=True)
class Layout:
    """The parts of a table's columns.

    Attributes:
        name: column whose cell names the row; "": rows are numbered.
        columns: "group", "time", "split", "origin" -> column, where there is one.
        metadata: columns that are neither input nor target nor dropped.
        derived: name of a group that follows from each sample; "": none.
        levels: values of the target in rising order, where they are known to have one.
        also: further target -> its outcome; they are metadata, too.
    """

    modality: str
    fields: tuple[Field, ...]
    target: str = ""
    outcome: str = ""
    name: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    derived: str = ""
    levels: tuple[str, ...] = ()
    also: Mapping[str, str] = field(default_factory=dict)


def arrange(
    table: Table,
    task: Task,
    readers: Mapping[str, Read],
    root: Path,
    *,
    labelled: bool = True,
    fields: Sequence[Field] = (),
) -> Layout:
    """The layout of a table. Raises DataError for unknown columns and where a guess is impossible.

    Args:
        root: folder that relative paths in cells start from.
        fields: inputs where they are known already; `task.modality` is then a reader's name.
    """
    notes = list[str]()
    asked = replace(task.columns, split=split_rule(task.columns.split, table.columns)[0])
    offered = {name for reader in readers.values() for name in containers.groups(reader)}
    derived = asked.group if asked.group in offered - set(table.columns) else ""
    _check_names(table, replace(asked, group="") if derived else asked)
    head = table.head()
    target = find_target(table, head, asked, notes) if labelled else ""
    split, named = _split(head, target, asked, notes, labelled=labelled)
    hidden = {*asked.drop, *named, table.naming}
    special = {target, split, asked.group, asked.time, asked.sample, table.origin}
    special = (special | {*asked.sensitive, *hidden}) - {""}
    if fields:
        modality, chosen = task.modality, tuple(fields)
    else:
        modality, chosen = _inputs(table, head, task, readers, root, special, notes)
    if derived and derived not in containers.groups(readers[modality]):
        table.require(derived, "the group column")
    used = {f.name for f in chosen}
    metadata = [n for n in table.columns if n not in used | {target, *hidden}]
    parts = {"group": asked.group, "time": asked.time, "split": split, "origin": table.origin}
    layout = Layout(
        modality=modality,
        fields=chosen,
        target=target,
        name=asked.sample or table.naming or _naming(chosen, readers[modality]),
        columns={part: name for part, name in parts.items() if name},
        sensitive=asked.sensitive,
        metadata=tuple(metadata),
        derived=derived,
    )
    if target:
        layout = _labelled(table, head, layout, task, readers[modality], notes)
    return replace(layout, notes=tuple(notes))


def _split(
    head: pa.Table, target: str, asked: Columns, notes: list[str], *, labelled: bool
) -> tuple[str, list[str]]:
    """The column that fixes the split, or "", and others that hold names of parts, which are no input."""
    told = find_split(head, target, asked, notes if labelled and not asked.split else [])
    split = asked.split or told
    if not told or told == split:
        return split, []
    notes.append(f"The column '{told}' holds names of parts and is no input.")
    return split, [told]


def _labelled(
    table: Table, head: pa.Table, layout: Layout, task: Task, reader: Read, notes: list[str]
) -> Layout:
    """The layout with the outcome that its target has."""
    order = levels.asked(task, table.orders.get(layout.target, ()))
    outcome = guessed(table, layout.target, task.outcome, notes, order)
    if outcome in ("tag", positions.OUTCOME):
        outcome, chosen = _of_positions(head, layout, task, reader, notes)
        layout = replace(layout, fields=chosen)
    if outcome == answers.OUTCOME:
        layout = _of_answers(layout, reader)
    return replace(layout, outcome=outcome, levels=order)


def _of_answers(layout: Layout, reader: Read) -> Layout:
    """The layout with the text that answers stand in; its questions stay together if no group is named."""
    fields = answers.fields_of(layout.fields, reader)
    if "group" in layout.columns:
        return replace(layout, fields=fields)
    text = fields[1].name
    return replace(
        layout,
        fields=fields,
        columns={**layout.columns, "group": text},
        metadata=(*layout.metadata, text),
    )


def _naming(fields: Sequence[Field], reader: Read) -> str:
    """The path column of one-file samples names the rows."""
    one_file = len(fields) == 1 and bool(reader.FILE_KIND) and fields[0].kind == reader.FILE_KIND
    return fields[0].name if one_file else ""


def _check_names(table: Table, asked: Columns) -> None:
    single = {
        "target": asked.target,
        "group": asked.group,
        "time": asked.time,
        "split": asked.split,
        "sample": asked.sample,
    }
    for role, name in single.items():
        if name:
            table.require(name, f"the {role} column")
    many = {"an input": asked.inputs, "sensitive": asked.sensitive, "to be dropped": asked.drop}
    for role, names in many.items():
        for name in names:
            table.require(name, role)
    for name in asked.inputs:
        if name in (asked.target, asked.group, asked.time, asked.split):
            raise DataError(
                f"The column '{name}' is named as an input and also as target, group, time or split. "
                "Expected one part per column; take it out of the inputs."
            )


def find_target(table: Table, head: pa.Table, asked: Columns, notes: list[str]) -> str:
    """The target column, named or guessed. Raises DataError."""
    if asked.target:
        return asked.target
    taken = {asked.group, asked.time, asked.split, *asked.sensitive, *asked.drop, *asked.inputs}
    free = [n for n in table.columns if n not in taken | {table.naming}]
    for name in TARGETS:
        for column in free:
            if column.lower() == name:
                notes.append(f"Target: the column '{column}', by its name.")
                return column
    for column in reversed(free):
        if _is_split(head.column(column)) or pa.types.is_nested(head.schema.field(column).type):
            continue
        distinct = pc.count_distinct(head.column(column)).as_py()
        if 2 <= distinct <= min(FEW, max(2, len(head) // 2)):
            notes.append(
                f"Target: the column '{column}', guessed as the last one with few values "
                f"({distinct}). Name another as target if that is wrong."
            )
            return column
    for column in reversed(free):
        cells = head.column(column).to_pylist()
        others = [head.column(n).to_pylist() for n in free if n != column]
        if any(positions.alike(cells, other) for other in others) and _repeat(cells):
            notes.append(f"Target: the column '{column}', a list as long as another one.")
            return column
    for column in reversed(free):
        if positions.is_spans(head.schema.field(column).type):
            notes.append(f"Target: the column '{column}', which holds spans with labels.")
            return column
    raise DataError(
        f"{table.name} has no column that looks like a target (one called {', '.join(TARGETS)}, or "
        f"with 2 to {FEW} distinct values). Name it: its columns are {', '.join(table.columns)}."
    )


def _repeat(cells: Sequence[Any]) -> bool:
    """Whether lists of texts hold few distinct ones."""
    items = [item for cell in cells if isinstance(cell, list) for item in cell]
    return all(isinstance(i, (str, type(None))) for i in items) and len(set(items)) <= FEW


def _is_split(column: Any) -> bool:
    """Whether a column holds the names of parts, training and another among them."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    values = {str(v).strip().lower() for v in pc.unique(column).to_pylist()}
    parts = {PARTS.get(v) for v in values}
    return None not in parts and len(parts) > 1 and "train" in parts


def find_split(head: pa.Table, target: str, asked: Columns, notes: list[str]) -> str:
    """A column called "split" that holds names of parts. The head may hold one part only."""
    for name in head.column_names:
        taken = {target, asked.group, asked.time, *asked.inputs, *asked.drop, *asked.sensitive}
        if name.lower() not in ("split", "subset", "fold") or name in taken:
            continue
        values = {str(v).strip().lower() for v in pc.unique(head.column(name)).to_pylist()}
        if values and values <= set(PARTS):
            notes.append(f"The column '{name}' fixes the split; drop the column to have one drawn.")
            return str(name)
    return ""


def _inputs(
    table: Table,
    head: pa.Table,
    task: Task,
    readers: Mapping[str, Read],
    root: Path,
    special: set[str],
    notes: list[str],
) -> tuple[str, tuple[Field, ...]]:
    """The first modality that claims a column, and its fields."""
    names, wanted = _tried(task, readers), task.columns.inputs
    free = list(wanted) or [n for n in table.columns if n not in special]
    cells = {name: head.column(name).drop_null().slice(0, CELLS).to_pylist() for name in free}
    for modality in names:
        reader = readers[modality]
        claimed = {n: kind for n in free if (kind := reader.claim(n, cells[n], root)) is not None}
        if wanted and task.modality != "auto":
            claimed = _forced(claimed, cells, reader, root)
        if any(n not in claimed and not (reader.MANY and _blank(cells[n])) for n in wanted):
            continue
        ids = [] if wanted or not reader.MANY else _ids(head, claimed, notes)
        claimed = {n: kind for n, kind in claimed.items() if n not in ids}
        if not claimed:
            continue
        several = wanted or reader.MANY
        chosen = list(claimed) if several else [_best(modality, claimed, cells, notes)]
        fields = tuple(Field(n, claimed[n], table.folded.get(n, ())) for n in chosen)
        rest = [n for n in free if n not in claimed and n not in ids]
        if reader.MANY and rest:
            notes += _refused(modality, reader, {n: cells[n] for n in rest})
        if not wanted or task.modality == "auto":
            notes.append(f"Inputs: {_told(chosen)}, read as {modality}.")
        if not wanted and task.modality == "auto":
            schema = pa.schema([table.schema.field(n) for n in free])
            notes += hints.kind_of_data(
                schema, modality, readers, rest, lambda r, n: r.claim(n, cells[n], root) is not None
            )
        return modality, fields
    if free and all(_blank(cells[n]) for n in free):
        raise DataError(
            f"{table.name}: {_quoted(free)} hold no value in the first {head.num_rows} rows. Expected "
            "something to learn from beside the target; fill them, or name another input column."
        )
    raise DataError(
        f"{table.name}: nothing can read {_quoted(free)} as an input (tried: {', '.join(names)}; paths "
        f"are looked for from {root}). Name the input columns, or the modality."
    )


def _tried(task: Task, readers: Mapping[str, Read]) -> list[str]:
    """Modalities that are asked for their columns, in their order. Raises DataError for an unknown one."""
    if task.modality == "auto":
        return list(readers)
    if task.modality not in readers:
        raise DataError(
            f"There is no modality '{task.modality}'. {nearest(task.modality, readers)}"
        )
    return [task.modality]


def _quoted(free: Sequence[str]) -> str:
    return f"the columns {', '.join(map(repr, free))}" if free else "no column beside the target"


def _refused(modality: str, reader: Read, cells: Mapping[str, list[Any]]) -> list[str]:
    """Which columns are no input, and why: as the reader tells, or that it takes no column of their kind."""
    tell = getattr(reader, "refused", None)
    why: dict[str, list[str]] = {}
    for name, values in cells.items():
        reason = tell(name, values) if tell else ""
        why.setdefault(reason or f"nothing that is read as {modality}", []).append(name)
    return [
        f"{_begun(names)} {'is' if len(names) == 1 else 'are'} no input: {reason}."
        for reason, names in why.items()
    ]


def _blank(cells: Sequence[Any]) -> bool:
    return all(c is None or c != c for c in cells)


def split_rule(asked: str, columns: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Column and test values of "COLUMN=VALUE[,VALUE...]"; no values where it is a column's name."""
    name, equals, values = asked.partition("=")
    if asked in columns or not equals:
        return asked, ()
    return name.strip(), tuple(v.strip() for v in values.split(",") if v.strip())


def _forced(
    claimed: Mapping[str, str], cells: Mapping[str, list[Any]], reader: Read, root: Path
) -> dict[str, str]:
    """Kinds of columns that the task names, with their modality, though its reader would not guess."""
    kinds = dict(claimed)
    for name, values in cells.items():
        if name in kinds or not values or not all(isinstance(v, str) for v in values):
            continue
        if reader.FILE_KIND and any(len(v) < 250 and (root / v).is_file() for v in values[:5]):
            kinds[name] = reader.FILE_KIND
        else:
            kinds[name] = "category" if reader.MANY else "text"
    return {name: kinds[name] for name in cells if name in kinds}


def _told(names: list[str]) -> str:
    shown = ", ".join(f"'{n}'" for n in names[:8])
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{'the column' if len(names) == 1 else 'the columns'} {shown}{more}"


def _begun(names: list[str]) -> str:
    """As `_told`, at the beginning of a sentence."""
    told = _told(names)
    return told[0].upper() + told[1:]


def _best(
    modality: str, claimed: Mapping[str, str], cells: Mapping[str, list[Any]], notes: list[str]
) -> str:
    """Of several columns for one field: the modality's name, else the longest cells."""
    if len(claimed) == 1:
        return next(iter(claimed))

    def size(name: str) -> float:
        lengths = [len(c) for c in cells[name] if isinstance(c, (str, bytes, list))]
        return sum(lengths) / max(1, len(lengths))

    best = next((n for n in claimed if n.lower() == modality), "") or max(claimed, key=size)
    others = ", ".join(f"'{n}'" for n in claimed if n != best)
    notes.append(
        f"The column '{best}' was preferred to {others} as input; name inputs to change it."
    )
    return best


def _ids(head: pa.Table, claimed: Mapping[str, str], notes: list[str]) -> list[str]:
    """Columns that only number or name the rows."""
    ids = [n for n, kind in claimed.items() if _is_id(Field(n, kind), head.column(n))]
    if ids:
        notes.append(f"{_begun(ids)} only identifies rows and is no input.")
    return ids


def _is_id(place: Field, column: Any) -> bool:
    rows = len(column)
    if rows < 10 or column.null_count:
        return False
    whole = pa.types.is_integer(column.type)
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not (whole or text) or pc.count_distinct(column).as_py() < rows:
        return False
    words = place.name.lower().replace("-", "_").split("_")
    if "id" in words or words[0] in ("index", "unnamed", "row") or words[0].startswith("unnamed "):
        return True
    if text:  # dates and numbers written as text tell more than which row it is
        return rows >= 20 and place.base == "category"
    steps = pc.pairwise_diff(column.combine_chunks().cast(pa.int64())).drop_null()
    return bool(pc.all(pc.greater(steps, 0)).as_py() or pc.all(pc.less(steps, 0)).as_py())


def _of_positions(
    head: pa.Table, layout: Layout, task: Task, reader: Read, notes: list[str]
) -> tuple[str, tuple[Field, ...]]:
    """Whether a target of lists labels the units of the input (a list of the same length, or spans of
    it), and the fields, that of the units with its kind. Raises DataError where it was asked for and there
    are no units."""
    kind = getattr(reader, "UNITS", "")
    target, spans = (
        head.column(layout.target),
        positions.is_spans(head.schema.field(layout.target).type),
    )
    cells = target.to_pylist()
    place = next(
        (
            f
            for f in layout.fields
            if (spans and kind)
            or (kind and positions.alike(head.column(f.name).to_pylist(), cells))
        ),
        None,
    )
    asked = positions.OUTCOME in (task.outcome, layout.outcome) or spans
    if place is None and asked:
        raise DataError(
            f"Labels of positions were asked for, but '{layout.target}' fits no input "
            f"({', '.join(f.name for f in layout.fields)}, read as {layout.modality}). Expected a list of "
            "words and a list of as many labels in each row, or spans with start, end and label."
        )
    if place is None or task.outcome == "tag":
        if task.outcome == "auto":
            notes.append(f"Outcome: tag, as '{layout.target}' holds lists.")
        return "tag", layout.fields
    if task.outcome == "auto" and not spans:
        said = f"one label for each of '{place.name}'"
        notes.append(f"Outcome: label_each, as '{layout.target}' holds {said}.")
    fields = tuple(replace(f, kind=kind) if f == place else f for f in layout.fields)
    return positions.OUTCOME, fields
