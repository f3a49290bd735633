"""A table and its layout to a dataset: rows are sieved and streamed into an Arrow file."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from headstart.core import digest
from headstart.core.dataset import Field, SetAside
from headstart.core.reader import Read
from headstart.core.run import Step, Watcher
from headstart.data import answers, positions, storage
from headstart.data.dataset import About, ArrowDataset
from headstart.data.layout import Layout
from headstart.data.rows import KEPT, Part, Row, Sieve, enough, is_file
from headstart.data.tables import Table
from headstart.errors import ContractError, DataError
from headstart.version import __version__

FORMAT = 1
NAMED = 3  # rows set aside that a note names


@dataclass(frozen=True)
class Order:
    """What is to be built.

    Attributes:
        stray: files and lines that are no rows; reported, not counted against `tolerate`.
        parts: parts of rows that were set aside; reported.
        key: name of the cached file; "": named by the dataset's digest.
        cache: None keeps the rows in memory.
    """

    table: Table
    layout: Layout
    reader: Read
    root: Path
    tolerate: float
    signatures: bool
    stray: tuple[SetAside, ...] = ()
    cache: Path | None = None
    key: str = ""
    watcher: Watcher | None = None
    parts: tuple[SetAside, ...] = ()


def reader_digest(reader: Read) -> str:
    """Of the reader's own file, the files of its folder that it leans on, and the version, so that a
    corrected reader reads anew."""
    name = getattr(reader, "__name__", type(reader).__module__)
    path = getattr(sys.modules.get(name), "__file__", None)
    files = _leant_on(Path(path), name.rpartition(".")[0]) if path and Path(path).is_file() else []
    told = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return digest.value(told) + __version__


def _leant_on(path: Path, package: str) -> list[Path]:
    """A module's file and those of its package that it imports, directly or not, at the top or inside a
    function; sorted by name."""
    found, left = {path}, [path]
    while left:
        for name in _imported(left.pop(), package):
            file = path.with_name(f"{name.partition('.')[0]}.py")
            if file.is_file() and file not in found:
                found.add(file)
                left.append(file)
    return sorted(found)


def _imported(path: Path, package: str) -> list[str]:
    """What a file imports of a package, as written behind the package's name."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # a package of modules: one dot is the package itself
                base = f"{package}.{base}".rstrip(".") if node.level == 1 else ""
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [n.removeprefix(f"{package}.") for n in names if package and n.startswith(f"{package}.")]


def build(order: Order) -> ArrowDataset:
    """Sieves and stores the rows. Raises DataError and StorageError."""
    order = _apart(order)
    aside, stamp = list(order.table.set_aside), uuid4().hex
    total = _Total(order.layout)
    sieve = Sieve(order.layout, order.reader, order.root, signatures=order.signatures)
    schema = _schema(order).with_metadata({"build": stamp})
    batches = _batches(order, sieve, schema, aside, total)
    if order.cache is None:
        buffer = storage.write_batches(None, schema, batches)
        _judge(order, aside, None)
        return _made(order, buffer, aside, total, stamp)
    storage.folder(order.cache)
    key = order.key or f"arrays-{stamp}"
    path = order.cache / f"{key}.arrow"
    with storage.replacing(path) as temporary:
        storage.write_batches(temporary, schema, batches)
        _judge(order, aside, _listed(order, aside, key))
    made = _made(order, path, aside, total, stamp)
    storage.write_json(path.with_suffix(".json"), asdict(made._about) | {"root": str(order.root)})
    return made


def _apart(order: Order) -> Order:
    """The order with parts of rows that were set aside told beside the rows. Raises DataError where they
    are too many among their own kind."""
    table, (what, total) = order.table, order.table.among
    if not what or not table.set_aside:
        return order
    lost = table.set_aside
    enough(lost, total, order.tolerate, table.name, None, what=what)
    said = f"{lost[0].name}: {lost[0].reason}" + ("; ..." if len(lost) > 1 else "")
    verb = "was" if len(lost) == 1 else "were"
    note = f"{len(lost)} of {total} {what} {verb} set aside ({said})."
    table = replace(table, set_aside=(), notes=(*table.notes, note))
    return replace(order, table=table, parts=lost)


def reopen(cache: Path, key: str, reader: Read) -> ArrowDataset | None:
    """The dataset of an earlier call, or None where there is none or it is not whole."""
    path = cache / f"{key}.arrow"
    try:
        told = json.loads(path.with_suffix(".json").read_text("utf-8"))
        schema, batches = storage.read_batches(path)
        root = Path(told.pop("root"))
        about = _about(told)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid):
        return None
    if (schema.metadata or {}).get(b"build", b"").decode() != about.build:
        return None
    return ArrowDataset(batches, about, reader, root)


def check_classes(made: ArrowDataset) -> None:
    """Raises DataError for no rows, for one class only, and for classes with one example."""
    if not len(made):
        first = f" The first: {made.set_aside[0].reason}." if made.set_aside else ""
        raise DataError(f"None of {made.total} rows can be used.{first} Correct the rows.")
    if made.outcome != "classify":
        return
    counts = Counter(made.targets(np.arange(len(made))))
    where = f"the column '{made.target}'" if made.target else "the targets"
    if len(counts) < 2:
        raise DataError(
            f"All {len(made)} usable rows have one class in {where}: {next(iter(counts), None)!r}. "
            "Expected two classes or more; name another target, or add examples."
        )
    single = sorted(str(c) for c, n in counts.items() if n == 1)
    if not single:
        return
    shown = ", ".join(f"'{c}'" for c in single[:5]) + (" ..." if len(single) > 5 else "")
    hint = ""
    if len(single) > len(made) / 4:
        hint = " Is it the right target? Most of its values occur once; name another."
    raise DataError(
        f"{len(single)} of {len(counts)} classes in {where} have one example only: {shown}. Expected "
        "two or more, one to learn from and one to test on. Add examples, or remove these classes."
        + hint
    )


class _Total:
    """Running digest over rows, targets and metadata."""

    def __init__(self, layout: Layout) -> None:
        head = [layout.modality, [asdict(f) for f in layout.fields], layout.target, layout.metadata]
        self._hash = hashlib.blake2b(digest.value(head).encode(), digest_size=16)

    def add(self, rows: Sequence[Row], metadata: Sequence[Sequence[Any]]) -> None:
        for number, row in enumerate(rows):
            told = [row.target, *(column[number] for column in metadata)]
            self._hash.update(row.digest + json.dumps(told, default=str).encode())

    def hex(self) -> str:
        return self._hash.hexdigest()


def _schema(order: Order) -> pa.Schema:
    layout, table = order.layout, order.table.schema
    target = table.field(layout.target).type if layout.target else pa.null()
    if layout.outcome == "regress":
        target = pa.float64()
    elif layout.outcome == positions.OUTCOME:
        target = positions.KEPT
    elif layout.outcome == answers.OUTCOME:
        target = answers.KEPT
    columns = [
        ("_digest", pa.binary(digest.ROW_BYTES)),
        ("_name", pa.large_string()),
        ("_target", target),
        ("_signature", pa.large_binary()),
    ]
    for place in layout.fields:
        columns.append((f"in:{place.name}", KEPT.get(place.base, table.field(place.name).type)))
        if is_file(place, order.reader):
            columns += [(f"size:{place.name}", pa.int64()), (f"mtime:{place.name}", pa.int64())]
    columns += [(f"meta:{name}", table.field(name).type) for name in layout.metadata]
    columns += [(f"meta:{layout.derived}", pa.large_string())] if layout.derived else []
    return pa.schema(columns)


def _batches(
    order: Order, sieve: Sieve, schema: pa.Schema, aside: list[SetAside], total: _Total
) -> Iterator[pa.RecordBatch]:
    """Usable rows in the dataset's columns; fills `aside` and `total` on the way."""
    done = 0
    for part in sieve.parts(order.table):
        done += len(part.batch)
        aside += part.set_aside
        if part.rows:
            yield _batch(order, part, schema, total)
        if order.watcher:
            order.watcher.step(Step("read", done, order.table.rows))


def _batch(order: Order, part: Part, schema: pa.Schema, total: _Total) -> pa.RecordBatch:
    rows, layout = part.rows, order.layout
    places = pa.array([r.place for r in rows], pa.int64())
    metadata = [part.batch.column(name).take(places) for name in layout.metadata]
    if layout.derived:
        metadata.append(pa.array([r.group for r in rows], pa.large_string()))
    total.add(rows, [m.to_pylist() for m in metadata])
    columns: list[Any] = [
        [r.digest for r in rows],
        [r.name for r in rows],
        [r.target for r in rows],
        [r.signature for r in rows],
    ]
    file = 0
    for number, place in enumerate(layout.fields):
        columns.append([r.kept[number] for r in rows])
        if is_file(place, order.reader):
            columns.append([r.stats[file][0] for r in rows])
            columns.append([r.stats[file][1] for r in rows])
            file += 1
    arrays = []
    for values, field in zip(columns, schema, strict=False):
        try:
            arrays.append(pa.array(values, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ContractError(
                f"The reader of {layout.modality} loaded '{field.name}' as "
                f"{type(values[0]).__name__}; expected what its kind says ({field.type}): {error}."
            ) from error
    return pa.RecordBatch.from_arrays(arrays + metadata, schema=schema)


def _listed(order: Order, aside: list[SetAside], key: str) -> Path | None:
    """Writes the rows set aside beside the dataset."""
    rows = [*order.stray, *order.parts, *aside]
    if not rows or order.cache is None:
        return None
    path = order.cache / f"{key}.set_aside.csv"
    storage.write_set_aside(path, rows)
    return path


def _judge(order: Order, aside: list[SetAside], listed: Path | None) -> None:
    total = order.table.rows + len(order.table.set_aside)
    enough(aside, total, order.tolerate, order.table.name, listed)


def _made(
    order: Order, source: Path | pa.Buffer | None, aside: list[SetAside], total: _Total, stamp: str
) -> ArrowDataset:
    layout = order.layout
    if source is None:
        raise ContractError("An Arrow file was written nowhere; expected a path or a buffer.")
    notes = [*order.table.notes, *layout.notes]
    if aside and layout.target:  # of a prediction they are listed one by one
        said = "row was" if len(aside) == 1 else "rows were"
        first = "; ".join(f"{one.name}: {one.reason}" for one in aside[:NAMED])
        more = f"; and {len(aside) - NAMED:,} more" if len(aside) > NAMED else ""
        notes.append(f"{len(aside):,} {said} set aside: {first}{more}.")
    if order.stray:
        notes.append(f"{len(order.stray)} files are no examples and were left out.")
    about = About(
        modality=layout.modality,
        fields=layout.fields,
        digest=total.hex(),
        outcome=layout.outcome,
        target=layout.target,
        columns=dict(layout.columns),
        sensitive=layout.sensitive,
        metadata=(*layout.metadata, layout.derived) if layout.derived else layout.metadata,
        notes=tuple(notes),
        set_aside=(*order.stray, *order.parts, *aside),
        total=order.table.rows + len(order.table.set_aside),
        near=order.reader.NEAR,
        build=stamp,
        levels=layout.levels,
        also=dict(layout.also),
    )
    _, batches = storage.read_batches(source)
    return ArrowDataset(batches, about, order.reader, order.root)


def _about(told: dict[str, Any]) -> About:
    """An `About` from what `asdict` and JSON made of it."""
    plain = {f.name: told[f.name] for f in dataclasses.fields(About)}
    about = About(**plain)
    return replace(
        about,
        fields=tuple(Field(**f) for f in about.fields),  # type: ignore[arg-type]
        sensitive=tuple(about.sensitive),
        metadata=tuple(about.metadata),
        notes=tuple(about.notes),
        levels=tuple(about.levels),
        set_aside=tuple(SetAside(**a) for a in about.set_aside),  # type: ignore[arg-type]
    )
