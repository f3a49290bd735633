"""CSV files that are whole or not there, quoted right, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from headstart.errors import StorageError
from headstart.report import text

BAD = ["name", "reason", "remedy"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def predicted(found: Any, every: bool) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of predictions, the last column what preprocessing noted of the row, where it noted
    anything of any."""
    columns, rows = _told(found, every)
    columns, rows = _joined(found, columns, rows, every)
    notes = _noted(found, len(rows))
    if not notes:
        return columns, rows
    told = zip(rows, notes, strict=True)
    return [*columns, "notes"], [[*row, "; ".join(sentences)] for row, sentences in told]


def _joined(
    found: Any, columns: list[str], rows: list[list[Any]], every: bool
) -> tuple[list[str], list[list[Any]]]:
    """The table with the columns of further targets: TARGET, for classes TARGET:confidence, and with `every`
    TARGET:p_CLASS."""
    for one in getattr(found, "further", ()):
        name = f"{one.name}:predicted" if one.name in (*columns, "notes") else one.name
        columns = [*columns, name]
        cells = [[value(label)] for label in one.labels]
        if one.probabilities is not None:
            columns += [f"{name}:confidence"]
            columns += [f"{name}:p_{c}" for c in one.classes] if every else []
            for row, shares in zip(cells, one.probabilities, strict=True):
                known = [float(p) for p in shares]
                told = str(row[0])
                row.append(known[one.classes.index(told)] if told in one.classes else max(known))
                row.extend(known if every else [])
        rows = [[*row, *more] for row, more in zip(rows, cells, strict=True)]
    return columns, rows


def _further(found: Any) -> list[dict[str, Any]]:
    """Of each row what was predicted of further targets, for JSON; [] where there are none."""
    each: list[dict[str, Any]] = [{} for _ in found.names]
    for one in getattr(found, "further", ()):
        for place, label in enumerate(one.labels):
            told: dict[str, Any] = {"prediction": value(label)}
            if one.probabilities is not None:
                shares = map(float, one.probabilities[place])
                told["probabilities"] = dict(zip(one.classes, shares, strict=True))
            each[place][one.name] = told
    return each if getattr(found, "further", ()) else []


def _noted(found: Any, lines: int) -> list[Sequence[str]]:
    """Notes of each of so many lines, those of the row that it tells of; [] where preprocessing noted nothing
    at all. Rows have as many lines each, but where spans are told."""
    told = getattr(found, "row_notes", ())
    if not told:
        return []
    spans = None if found.table is not None else getattr(found, "spans", None)
    counts = [len(s) for s in spans] if spans is not None else [lines // len(told)] * len(told)
    return [notes for notes, count in zip(told, counts, strict=True) for _ in range(count)]


def _told(found: Any, every: bool) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows without notes: name, prediction, confidence, where it was told how far a row lies
    outside the known classes and whether that is out of scope, and with `every` p_CLASS for all. Of labels
    of positions each span is a row; a table that they bring is given as it is."""
    if found.table is not None:
        columns, lines = found.table
        return list(columns), [list(line) for line in lines]
    if getattr(found, "spans", None) is not None:
        return ["name", "first", "last", "prediction", "text", "confidence"], [
            [name, s.first, s.last, s.label, s.text, s.confidence]
            for name, spans in zip(found.names, found.spans, strict=True)
            for s in spans
        ]
    if found.probabilities is None:
        return ["name", "prediction"], [
            [n, value(v)] for n, v in zip(found.names, found.labels, strict=True)
        ]
    scoped = getattr(found, "scope", None) is not None
    columns = ["name", "prediction", "confidence"]
    columns += ["scope_score", "out_of_scope"] if scoped else []
    columns += [f"p_{c}" for c in found.classes] if every else []
    rows = []
    for place, shares in enumerate(found.probabilities):
        known = [float(p) for p in shares]
        told = value(found.labels[place])
        sure = known[found.classes.index(str(told))] if str(told) in found.classes else max(known)
        row = [found.names[place], told, sure]
        if scoped:
            row += [float(found.scope[place]), "yes" if found.outside[place] else "no"]
        rows.append(row + (known if every else []))
    return columns, rows


def amount(found: Any) -> str:
    """How much was predicted, in words: rows, or steps of series and from how many origins."""
    count = len(found.names)
    columns, lines = found.table or ((), ())
    if list(columns[:3]) != ["name", "time", "step"]:
        return f"{text.counted(count, 'row')} predicted"
    names = list(dict.fromkeys(str(line[0]) for line in lines))
    shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    ahead = max((int(line[2]) for line in lines), default=0)
    return (
        f"{text.counted(len(lines), 'step')} forecast of {text.plain(len(names))} series ({shown}): "
        f"{text.plain(ahead)} ahead from each of {text.counted(count, 'origin')}"
    )


def value(label: Any) -> Any:
    """A label as plain Python: a number stays a number, anything else is a text."""
    label = label.item() if hasattr(label, "item") else label
    return label if isinstance(label, (int, float)) and not isinstance(label, bool) else str(label)


def as_document(found: Any) -> dict[str, Any]:
    """Predictions as one JSON document."""
    bad = [{"name": b.name, "reason": b.reason, "remedy": b.remedy} for b in found.bad]
    if getattr(found, "spans", None) is not None:
        each = [
            {"name": name, "labels": list(labels), "spans": [asdict(s) for s in spans]}
            for name, labels, spans in zip(found.names, found.labels, found.spans, strict=True)
        ]
        for entry, notes in zip(each, getattr(found, "row_notes", ()), strict=False):
            entry["notes"] = list(notes)
        return {"classes": list(found.classes), "predictions": each, "bad": bad}
    columns, rows = _told(found, True)
    size = len(columns) - (len(found.classes) if found.probabilities is not None else 0)
    listed = [dict(zip(columns[:size], row, strict=False)) for row in rows]
    for entry, row in zip(listed, rows, strict=True):
        if "out_of_scope" in entry:
            entry["out_of_scope"] = entry["out_of_scope"] == "yes"
        if found.probabilities is not None:
            entry["probabilities"] = dict(zip(found.classes, row[size:], strict=True))
    for entry, told in zip(listed, _further(found), strict=False):
        entry["further"] = told
    for entry, notes in zip(listed, _noted(found, len(rows)), strict=False):
        entry["notes"] = list(notes)
    return {
        "classes": list(found.classes),
        "predictions": listed,
        "bad": bad,
        "notes": list(found.notes),
    }


def harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay."""
    if isinstance(cell, str):
        return "'" + cell if cell.startswith(FORMULA) else cell
    return f"{cell:.6g}" if isinstance(cell, float) else cell


def send(stream: TextIO, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Writes CSV to an open stream."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([harmless(c) for c in columns])
    writer.writerows([harmless(c) for c in row] for row in rows)


def refuse(path: Path | None, force: bool) -> None:
    """Raises StorageError where a file is in the way, or its folder is not there."""
    if path is None:
        return
    if path.is_dir():
        raise StorageError(f"{path} is a folder; name a file to write.")
    if path.exists() and not force:
        raise StorageError(
            f"{path} is there already. Name another file, or overwrite it with --force."
        )
    if not path.parent.is_dir():
        raise StorageError(
            f"The folder {path.parent} is not there. Make it first: mkdir -p '{path.parent}'"
        )


def write(
    path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, force: bool = False
) -> None:
    """Writes a CSV file in one go. Raises StorageError."""
    stream = io.StringIO()
    send(stream, columns, rows)
    place(path, stream.getvalue(), force=force)


def place(path: Path, content: str, *, force: bool = False) -> None:
    """Puts a whole file at a path, or nothing; without `force` never over another. Raises StorageError."""
    refuse(path, force)
    beside = ""
    try:
        handle, beside = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp"
        )
        with os.fdopen(
            handle, "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        if not force:
            refuse(path, force)  # it may have appeared since
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if beside and os.path.exists(beside):
            os.unlink(beside)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
