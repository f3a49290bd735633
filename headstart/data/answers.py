"""Targets that are spans of a text: columns of questions, texts, answers and their starts.

As SQuAD writes them (Rajpurkar et al. 2016, arXiv:1606.05250): flat columns `context`, `question`, `answer`,
`answer_start`, or a column `answers` of {text, answer_start}, of which the first answer is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from headstart.core.answers import Answer
from headstart.core.dataset import Field
from headstart.core.reader import Read
from headstart.core.task import Task
from headstart.data.tables import Table
from headstart.errors import BadRow, DataError

OUTCOME = "answer"
KEPT = pa.list_(pa.int64())
CELL = pa.struct([("text", pa.large_string()), ("start", pa.int64())])
QUESTIONS = ("question", "query")
PASSAGES = ("context", "passage", "paragraph")
ANSWERS = ("answer", "answers", "answer_text")
STARTS = ("answer_start", "start")
SEEN = 200  # rows that columns are told apart by


def gathered(table: Table, task: Task, readers: Mapping[str, Read]) -> tuple[Table, Task]:
    """The table with answer and start in one column, and the task that names it, where answers are asked
    for or found by the names of the columns; both as they came otherwise.

    Raises:
        DataError: they are asked for, and a column is missing or nothing reads texts.
    """
    asked, able = task.outcome == OUTCOME, [n for n, r in readers.items() if passage_kind(r)]
    if asked and not able:
        raise DataError(
            f"Answers were asked for, but data of the kind '{', '.join(readers)}' have no text in which a "
            "span could be one. Expected questions and texts; choose another outcome."
        )
    if not able or task.outcome not in ("auto", OUTCOME) or (not asked and task.columns.inputs):
        return table, task
    target = task.columns.target or _named(table, ANSWERS)
    inputs = _inputs(table, task, target)
    if target not in table.columns or len(inputs) != 2:
        if not asked:
            return table, task
        raise DataError(
            f"Answers were asked for, but {table.name} has the columns {', '.join(table.columns)}. Expected "
            "a question, a text and an answer in each row, in columns called question, context and answer "
            "or named: two inputs and the target."
        )
    if not asked and target.lower() not in ANSWERS:
        return table, task
    start = _named(table, (f"{target.lower()}_start", *STARTS))
    group = "" if task.columns.group in inputs else task.columns.group
    columns = replace(task.columns, target=target, inputs=inputs, group=group)
    task = replace(task, outcome=OUTCOME, modality=able[0], columns=columns)
    return _merged(table, target, start, inputs), task


def passage_kind(reader: Read) -> str:
    """Kind of the field in which a span answers a question; "" where there is none."""
    return getattr(reader, "PASSAGE", "")


def _named(table: Table, names: Sequence[str]) -> str:
    """The first column of one of these names, whatever its case; ""."""
    return next((c for n in names for c in table.columns if c.lower() == n), "")


def _inputs(table: Table, task: Task, target: str) -> tuple[str, ...]:
    """Columns of questions and of texts, in this order; () where they are not found. Of two named inputs the
    text is the one in which the answers stand."""
    given = task.columns.inputs
    if not given:
        found = (_named(table, QUESTIONS), _named(table, PASSAGES))
        return found if all(found) else ()
    if len(given) != 2 or target not in table.columns or not set(given) <= set(table.columns):
        return ()
    head = table.head(SEEN)
    said = [_first(cell)[0] for cell in head.column(target).to_pylist()]
    held = [
        sum(bool(a) and str(a) in str(c) for a, c in zip(said, column, strict=True))
        for column in (head.column(name).to_pylist() for name in given)
    ]
    return given if held[1] >= held[0] else given[::-1]


def _first(cell: Any) -> tuple[Any, Any]:
    """Text and start of a cell: a text, or {text, answer_start} of one answer or of several."""
    if not isinstance(cell, dict):
        return cell, None
    found = [cell.get("text"), cell.get("answer_start", cell.get("start"))]
    text, start = ((v[0] if v else None) if isinstance(v, list) else v for v in found)
    return text, start


def _merged(table: Table, target: str, start: str, inputs: tuple[str, ...]) -> Table:
    rest = [n for n in table.columns if n not in (target, start)]

    def merge(batch: pa.RecordBatch) -> pa.RecordBatch:
        cells = [_first(c) for c in batch.column(target).to_pylist()]
        starts = batch.column(start).to_pylist() if start else [s for _, s in cells]
        made = [
            {"text": None if t is None else str(t), "start": _number(s)}
            for (t, _), s in zip(cells, starts, strict=True)
        ]
        arrays = [*(batch.column(n) for n in rest), pa.array(made, CELL)]
        return pa.RecordBatch.from_arrays(arrays, names=[*rest, target])

    def stream() -> Iterator[pa.RecordBatch]:
        for batch in table.stream():
            yield merge(batch)

    fields = [table.schema.field(n) for n in rest]
    question, passage = inputs
    note = f"Outcome: answer, a span of '{passage}' that answers '{question}'"
    note += f"; where it begins stands in '{start}'." if start else "."
    schema = pa.schema([*fields, pa.field(target, CELL)])
    return replace(table, schema=schema, stream=stream, lead=None, notes=(*table.notes, note))


def _number(start: Any) -> int | None:
    """A start as a whole number; None where there is none, -1 for what is no number."""
    if start is None or start != start or start == "":
        return None
    try:
        return int(start)
    except (TypeError, ValueError):
        return -1


def fields_of(fields: Sequence[Field], reader: Read) -> tuple[Field, ...]:
    """Question and text, the text with its kind. Raises DataError."""
    if len(fields) != 2 or any(f.kind != "text" for f in fields):
        told = ", ".join(f"'{f.name}' ({f.kind})" for f in fields)
        raise DataError(
            f"Answers need a column of questions and one of texts; {told} came. Name two columns of texts."
        )
    return fields[0], replace(fields[1], kind=passage_kind(reader))


def located(cell: Mapping[str, Any], passage: str, reader: Read) -> list[int]:
    """First character of the answer, and the one behind its last. Raises BadRow where it is not there."""
    text, start = cell["text"], cell["start"]
    if text is None or not text.strip():
        raise BadRow("there is no answer", "write it, or remove the row")
    shown = f"the answer '{text[:60]}'"
    if start is None:
        start = passage.find(text)
        if start < 0:
            raise BadRow(f"{shown} does not stand in the text", "write it as the text does")
        if passage.find(text, start + 1) >= 0:
            raise BadRow(f"{shown} stands in the text several times", "say where it begins")
    end = start + len(text)
    if not 0 <= start < end <= len(passage):
        raise BadRow(
            f"{shown} would go from {start} to {end}, outside the text, which ends at {len(passage)}",
            "correct the start",
        )
    if passage[start:end] != text:
        raise BadRow(
            f"{shown} does not stand at {start}, where the text says '{passage[start:end][:60]}'",
            "correct the answer or its start",
        )
    if not any(a < end and b > start for a, b in reader.places(passage)):  # type: ignore[attr-defined]
        raise BadRow(f"{shown} holds no word", "correct the answer or its start")
    return [start, end]


def raw(cells: Sequence[Any], passages: Sequence[str], reader: Read) -> list[Answer | None]:
    """Kept cells and their texts as raw targets."""
    places: Any = reader.places  # type: ignore[attr-defined]
    return [
        None if cell is None else Answer(text, tuple(places(text)), int(cell[0]), int(cell[1]))
        for cell, text in zip(cells, passages, strict=True)
    ]
