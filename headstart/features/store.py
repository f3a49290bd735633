"""The feature store on disk and in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.core.store import Row, Shelf, Space


@dataclass(frozen=True)
class Kept:
    """One namespace on disk.

    Attributes:
        space: what it is for.
        rows: count.
        bytes: on disk.
        last_used: seconds since 1970.
        busy: open in this process or another.
    """

    space: Space
    rows: int
    bytes: int
    last_used: float
    busy: bool


class LmdbStore:
    """One LMDB environment per namespace under `root`."""

    def __init__(self, root: Path, cap_bytes: int = 20 * 10**9) -> None:
        self.root = Path(root)
        self.cap_bytes = cap_bytes

    def shelf(self, space: Space) -> Shelf:
        raise NotImplementedError

    def room(self) -> int:
        raise NotImplementedError

    def list(self) -> list[Kept]:
        """All namespaces, most recently used first."""
        raise NotImplementedError

    def clear(self, space: Space | None = None) -> int:
        """Deletes one namespace or all that are not in use; returns bytes freed."""
        raise NotImplementedError


class MemoryStore:
    """Rows in this process only."""

    def __init__(self, cap_bytes: int = 4 * 10**9) -> None:
        self.cap_bytes = cap_bytes

    def shelf(self, space: Space) -> Shelf:
        raise NotImplementedError

    def room(self) -> int:
        raise NotImplementedError
