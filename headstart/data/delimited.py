"""Delimited text: encoding, delimiter and column types are read off the whole file, then streamed.

Types are decided over all rows (not the first block), so that a late "n/a" changes a column's type
before anything was read with the wrong one.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from headstart.core.dataset import SetAside
from headstart.errors import DataError

DELIMITERS = (",", ";", "\t")
BLANK = ("", "?", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "nan", "NaN", "NAN")
"""Cells that mean "no number" in a column of numbers; in other columns only "" does."""


@dataclass(frozen=True)
class Found:
    """What `survey` found; `read` needs it."""

    encoding: str
    delimiter: str
    names: tuple[str, ...]
    schema: pa.Schema
    rows: int
    comma: bool
    notes: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
    thousands: frozenset[str] = frozenset()


def survey(path: Path) -> Found:
    """One pass over the file for encoding, delimiter, types and number of rows. Raises DataError."""
    encoding, notes = _encoding(path)
    with _text(path, encoding) as handle:
        sample = handle.read(1 << 16)
    delimiter = _delimiter(sample.decode("utf-8", "replace"), path)
    names = _names(sample.decode("utf-8", "replace"), delimiter)
    found = Found(encoding, delimiter, names, pa.schema([]), 0, delimiter == ";", notes, ())
    kinds = dict.fromkeys(names, "int64")
    filled = dict.fromkeys(names, False)
    marks = {name: set[str]() for name in names}
    rows, bad = 0, list[SetAside]()
    for batch in _strings(path, found, bad):
        rows += len(batch)
        for name, column in zip(names, batch.columns, strict=True):
            kinds[name] = _narrow(column, kinds[name], found.comma)
            marks[name] |= _marks(column) if found.comma and kinds[name] == "float64" else set()
            filled[name] = filled[name] or pc.any(pc.not_equal(column, "")).as_py() or False
    schema = pa.schema([(n, getattr(pa, kinds[n])() if filled[n] else pa.string()) for n in names])
    thousands, told = _thousands(path, {n: m for n, m in marks.items() if kinds[n] == "float64"})
    notes = (*found.notes, *told)
    made = replace(found, schema=schema, rows=rows, set_aside=tuple(bad), notes=notes)
    return replace(made, thousands=thousands)


def read(path: Path, found: Found) -> Iterator[pa.RecordBatch]:
    """The rows, with the types that `survey` decided on."""
    for batch in _strings(path, found, []):
        columns = [
            _cast(
                _ungrouped(column) if field.name in found.thousands else column,
                field.type,
                found.comma,
            )
            for column, field in zip(batch.columns, found.schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=found.schema)


def lines(path: Path) -> tuple[list[str], tuple[str, ...]]:
    """The lines of a plain text that are not blank, and notes. Raises DataError."""
    encoding, notes = _encoding(path)
    with _text(path, encoding) as handle:
        read = handle.read().decode("utf-8").splitlines()
    return [line for line in read if line.strip()], notes


def _encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """ "utf-8", "utf-16" or "mixed" (lines that are no UTF-8 are read as cp1252), with a note."""
    with path.open("rb") as handle:
        start = handle.read(2)
        if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16", (f"{path.name} is encoded in UTF-16 and was read so.",)
        handle.seek(0)
        odd, place, offset = 0, "", 0
        for number, line in enumerate(handle, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                odd += 1
                place = place or f"line {number}, byte {offset + error.start}"
                _cp1252(line, path, number, offset)
            offset += len(line)
    if not odd:
        return "utf-8", ()
    lines = "line is" if odd == 1 else "lines are"
    return "mixed", (
        f"{path.name}: {odd} {lines} no UTF-8 (first: {place}); read as Windows-1252. If letters "
        "look wrong, save the file as UTF-8.",
    )


def _cp1252(line: bytes, path: Path, number: int, offset: int) -> str:
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}, line {number}: byte {offset + error.start} "
            f"(0x{line[error.start]:02x}) is neither UTF-8 nor Windows-1252. Convert the file: "
            "iconv -f ENCODING -t UTF-8 old.csv > new.csv"
        ) from None


class _Recoded(io.RawIOBase):
    """A file whose lines are handed on as UTF-8, whichever of two encodings each one has."""

    def __init__(self, path: Path) -> None:
        self._handle = path.open("rb")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            line = self._handle.readline()
            if not line:
                return 0
            try:
                line.decode("utf-8")
                self._rest = line
            except UnicodeDecodeError:
                self._rest = line.decode("cp1252").encode("utf-8")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def close(self) -> None:
        self._handle.close()
        super().close()


def _text(path: Path, encoding: str) -> Any:
    """The file's bytes in UTF-8, without a byte-order mark where Python strips it."""
    if encoding == "mixed":
        return io.BufferedReader(_Recoded(path), 1 << 20)
    if encoding == "utf-16":
        return io.BytesIO(path.read_text("utf-16").encode("utf-8"))
    handle = path.open("rb")
    if handle.read(3) != codecs.BOM_UTF8:
        handle.seek(0)
    return handle


def _delimiter(sample: str, path: Path) -> str:
    """The delimiter that cuts the first lines into the most columns, evenly."""
    best, most = "\t" if path.suffix.lower() == ".tsv" else ",", 1
    for delimiter in DELIMITERS:
        rows = [r for r in _parsed(sample, delimiter) if r]
        widths = [len(r) for r in rows[:50]]
        if widths and min(widths) > most and widths.count(widths[0]) >= 0.8 * len(widths):
            best, most = delimiter, min(widths)
    if most == 1:
        widths = [len(r) for r in _parsed(sample, best)][:1]
        return best if not widths or widths[0] > 1 else _by_header(sample, best)
    return best


def _by_header(sample: str, default: str) -> str:
    """For ragged files: the delimiter that the header holds most often."""
    header = sample.splitlines()[0] if sample else ""
    counts = {d: header.count(d) for d in DELIMITERS}
    best = max(counts, key=lambda d: counts[d])
    return best if counts[best] else default


def _parsed(sample: str, delimiter: str) -> list[list[str]]:
    """The complete rows of a sample; its last line may be cut."""
    try:
        rows = list(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter))
    except csv.Error:
        return []
    return rows[:-1] if len(rows) > 2 and len(sample) >= (1 << 15) else rows


def _names(sample: str, delimiter: str) -> tuple[str, ...]:
    rows = _parsed(sample, delimiter)
    header = rows[0] if rows else []
    return tuple(name.strip() or f"unnamed {i}" for i, name in enumerate(header, start=1))


def _strings(path: Path, found: Found, bad: list[SetAside]) -> Iterator[pa.RecordBatch]:
    """The rows as text; rows with a wrong number of cells go to `bad`."""

    def odd(row: Any) -> str:
        where = f"line {row.number}" if row.number else f"a row that starts '{row.text[:40]}'"
        bad.append(
            SetAside(
                f"{path.name}, {where}",
                f"{row.actual_columns} cells instead of {row.expected_columns}",
                "quote cells that hold the delimiter, or complete the row",
            )
        )
        return "skip"

    places = [f"c{i}" for i in range(len(found.names))]
    with _text(path, found.encoding) as handle:
        reader = pcsv.open_csv(
            pa.PythonFile(handle, mode="r"),
            read_options=pcsv.ReadOptions(
                column_names=places, skip_rows=1, block_size=1 << 22, use_threads=False
            ),
            parse_options=pcsv.ParseOptions(
                delimiter=found.delimiter, newlines_in_values=True, invalid_row_handler=odd
            ),
            convert_options=pcsv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False
            ),
        )
        yield from reader


def _numbers(column: pa.Array, comma: bool) -> pa.Array:
    """Trimmed cells, with null where no number is meant."""
    trimmed = pc.utf8_trim_whitespace(column)
    if comma:
        trimmed = pc.replace_substring(trimmed, ",", ".")
    return pc.if_else(pc.is_in(trimmed, pa.array(BLANK)), pa.scalar(None, pa.string()), trimmed)


def _narrow(column: pa.Array, kind: str, comma: bool) -> str:
    """The narrowest of int64, float64 and string, from `kind` on, that holds all cells."""
    if kind == "string":
        return kind
    cells = _numbers(column, comma)
    if pc.any(pc.match_substring_regex(cells, r"^[+-]?0[0-9]")).as_py():
        return "string"  # postcodes and codes: leading zeros carry meaning
    for name in ("int64", "float64")[("int64", "float64").index(kind) :]:
        try:
            cells.cast(getattr(pa, name)())
            return name
        except pa.ArrowInvalid:
            continue
    return "string"


def _marks(cells: pa.Array) -> set[str]:
    """Which marks a column of numbers holds: "," for decimal commas, "." for decimal points, "..." for points
    that may part thousands."""
    cells = pc.utf8_trim_whitespace(cells)
    pointed = cells.filter(pc.match_substring(cells, "."))
    groups = pc.match_substring_regex(pointed, r"^[+-]?[1-9][0-9]{0,2}[.][0-9]{3}$")
    found = {","} if pc.any(pc.match_substring(cells, ",")).as_py() else set()
    if len(pointed):
        found.add("..." if pc.all(groups).as_py() else ".")
    return found


def _thousands(path: Path, marks: dict[str, set[str]]) -> tuple[frozenset[str], list[str]]:
    """Columns whose points part thousands, since another column has decimal commas; and sentences on those
    that could be read so."""
    twofold = [name for name, found in marks.items() if found == {"..."}]
    commas = any("," in found for found in marks.values())
    shown = ", ".join(map(repr, twofold[:8]))
    if not twofold:
        return frozenset(), []
    if commas:
        said = "as other columns have decimal commas, its points were read as marks of thousands"
        return frozenset(twofold), [f"{path.name}, {shown}: {said} (1.234 is 1234)."]
    said = "its points were read as decimal points, as no column has decimal commas"
    return frozenset(), [f"{path.name}, {shown}: {said}. If 1.234 means 1234, write 1234."]


def _ungrouped(column: pa.Array) -> pa.Array:
    return pc.replace_substring(column, ".", "")


def _cast(column: pa.Array, kind: pa.DataType, comma: bool) -> pa.Array:
    if pa.types.is_string(kind):
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return _numbers(column, comma).cast(kind)
