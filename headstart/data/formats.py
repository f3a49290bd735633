"""Files of formats that one kind of data has for itself: its reader unpacks them into columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from headstart.core.reader import Read
from headstart.data.folders import stamp
from headstart.data.tables import Table, from_columns


def owner(path: Path, readers: Mapping[str, Read], asked: str = "auto") -> str:
    """Name of the reader that unpacks the file or folder, or ""."""
    for name, reader in readers.items():
        owns = getattr(reader, "owns", None)
        if owns is not None and asked in ("auto", name) and owns(path, asked == name):
            return name
    return ""


def open_own(path: Path, reader: Read) -> Table:
    """Its columns as a table. Raises DataError."""
    columns, notes = reader.unpack(path)  # type: ignore[attr-defined]
    beside = (
        sorted(path.iterdir()) if path.is_dir() else sorted(path.parent.glob(f"*{path.suffix}"))
    )
    return replace(from_columns(columns, path.name), notes=notes, stamp=stamp(path, beside))
