"""What readers of files share: pictures and sounds come as names of files or as their bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import BadRow

MOST = 0.8
"""Share of a column's cells that have to look alike."""


def claim(
    values: Sequence[Any], suffixes: tuple[str, ...], known: Callable[[bytes], bool]
) -> str | None:
    """ "bytes" for encoded files whose first bytes are `known`, "path" for names with one of the suffixes;
    cells may be records of both. None for anything else."""
    seen = [v for v in map(_unpacked, values) if v]
    if not seen:
        return None
    if all(isinstance(v, bytes) for v in seen):
        return "bytes" if _most([known(v) for v in seen]) else None
    if all(isinstance(v, str) for v in seen) and _most(
        [v.lower().endswith(suffixes) for v in seen]
    ):
        return "path"
    return None


def load(cell: Any, root: Path, what: str, check_size: Callable[[int], None]) -> bytes:
    """Encoded bytes of one cell: bytes, a path below `root`, or a record of {"bytes", "path"}.

    Args:
        what: the thing in the file, as messages call it.
        check_size: called with a file's bytes before it is read; raises BadRow for too many.

    Raises:
        BadRow: nothing there, or a file that is too large or cannot be read.
    """
    cell = _unpacked(cell)
    if isinstance(cell, bytes):
        return cell
    if not cell:
        raise BadRow(f"no {what} in this row", "give a file's path or its bytes")
    path = root / str(cell)
    try:
        check_size(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise BadRow(
            f"{path.name} cannot be read ({error.strerror})", "check the path and its rights"
        ) from error


def _unpacked(cell: Any) -> Any:
    return cell.get("bytes") or cell.get("path") if isinstance(cell, Mapping) else cell


def _most(flags: Sequence[bool]) -> bool:
    return sum(flags) >= MOST * len(flags)
