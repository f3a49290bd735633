"""Arrow files in the cache: written aside and moved into place, so that a kill leaves nothing torn."""

from __future__ import annotations

import csv
import errno
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from headstart.core.dataset import SetAside
from headstart.errors import StorageError


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Words errors of writing. Raises StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            raise StorageError(
                f"The disk is full: {path} could not be written. Free some space, or choose another "
                "cache folder."
            ) from error
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}). Expected a folder that may be "
            "written to; choose another cache folder."
        ) from error


def folder(path: Path) -> Path:
    """The cache folder, made where it is missing. Raises StorageError."""
    with storing(path):
        path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise StorageError(
            f"The cache folder {path} may not be written to. Choose another, or change its rights."
        )
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; moved to `path` when all went well, else removed."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield aside
        with storing(path):
            os.replace(aside, path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_batches(
    path: Path | None, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> pa.Buffer | None:
    """Streams batches into an Arrow file; without a path, into memory. Raises StorageError.

    Reading errors of `batches` are handed on as they are.
    """
    where = path or Path("memory")
    buffer = None if path else pa.BufferOutputStream()
    with storing(where):
        sink = buffer or pa.OSFile(str(path), "wb")
    try:
        with storing(where):
            writer = pa.ipc.new_file(sink, schema)
        for batch in batches:
            with storing(where):
                writer.write_batch(batch)
        with storing(where):
            writer.close()
    finally:
        if buffer is None:
            with suppress(OSError):
                sink.close()
    return buffer.getvalue() if buffer is not None else None


def read_batches(source: Path | pa.Buffer) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """The batches of an Arrow file; those of a path are memory-mapped."""
    mapped = pa.memory_map(str(source)) if isinstance(source, Path) else source
    reader = pa.ipc.open_file(mapped)
    return reader.schema, [reader.get_batch(i) for i in range(reader.num_record_batches)]


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Raises StorageError."""
    _write(path, lambda handle: json.dump(value, handle, default=str))


def write_set_aside(path: Path, rows: Sequence[SetAside]) -> None:
    """Rows set aside, as CSV with the columns row, reason, remedy. Raises StorageError."""

    def fill(handle: Any) -> None:
        table = csv.writer(handle)
        table.writerow(["row", "reason", "remedy"])
        table.writerows([a.name, a.reason, a.remedy] for a in rows)

    _write(path, fill)


def _write(path: Path, fill: Callable[[Any], None]) -> None:
    with (
        replacing(path) as aside,
        storing(path),
        aside.open("w", encoding="utf-8", newline="") as handle,
    ):
        fill(handle)
