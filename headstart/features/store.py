"""The feature store on disk (one LMDB environment per namespace folder) and in memory."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.store import Row, Space
from headstart.errors import StorageError
from headstart.features import _environment as environment
from headstart.features import _rows as rows_

SPARE = 10**9  # bytes of the disk that the store never takes
_TRASH = ".trash-"


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


class LmdbShelf:
    """One namespace on disk. Its folder is made by the first `put`; reading makes nothing.

    Attributes:
        notes: sentences about rows that were damaged and will be computed again.
    """

    def __init__(self, store: LmdbStore, space: Space) -> None:
        self.space = space
        self.notes: list[str] = []
        self._store = store
        self._folder = store.root / space.name
        self._described = False

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Places in `keys` that are not stored, or damaged."""
        if not self._exists():
            return list(range(len(keys)))

        def look(transaction: Any) -> tuple[list[int], list[int]]:
            absent, damaged = [], []
            for place, key in enumerate(keys):
                value = transaction.get(key)
                if value is None:
                    absent.append(place)
                    continue
                try:
                    rows_.check(key, value)
                except rows_.Damaged:
                    damaged.append(place)
            return absent, damaged

        absent, damaged = self._environment().transact(look)
        if damaged:
            self._drop([keys[p] for p in damaged])
        return sorted(absent + damaged)

    def put(self, rows: Iterable[tuple[bytes, Row]]) -> None:
        """Stores rows in one transaction: all or none. Raises StorageError."""
        pairs = [(key, rows_.encode(key, row)) for key, row in rows]
        if not pairs:
            return
        self._store.make_room(sum(len(v) for _, v in pairs), self.space)
        try:
            self._describe()
            self._environment().transact(lambda t: [t.put(k, v) for k, v in pairs], write=True)
        except OSError as error:
            raise environment.full(error, self._folder) from error

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """Rows in the order of `keys`. Raises KeyError for one that is missing or damaged."""
        if not self._exists():
            raise KeyError(f"Nothing is stored in {self._folder}.")
        damaged: list[bytes] = []

        def fetch(transaction: Any) -> list[Row]:
            damaged.clear()
            found: list[Row] = []
            for key in keys:
                value = transaction.get(key)
                if value is None:
                    raise KeyError(key.hex())
                try:
                    found.append(rows_.decode(key, value))
                except rows_.Damaged:
                    damaged.append(key)
            return found

        found = self._environment().transact(fetch)
        self._refuse(damaged)
        return found

    def matrix(self, keys: Sequence[bytes]) -> np.ndarray:
        """(N, width) float32 of the tensor "features". Raises KeyError as `get` does."""
        if not keys:
            return np.empty((0, 0), np.float32)
        if not self._exists():
            raise KeyError(f"Nothing is stored in {self._folder}.")

        def fetch(transaction: Any) -> tuple[np.ndarray, list[int]]:
            values = [transaction.get(key) for key in keys]
            if None in values:
                raise KeyError(keys[values.index(None)].hex())
            return rows_.stack(keys, values)

        matrix, damaged = self._environment().transact(fetch)
        self._refuse([keys[p] for p in damaged])
        return matrix

    def _environment(self) -> environment.Environment:
        return environment.at(self._folder)

    def _exists(self) -> bool:
        return (self._folder / "data.mdb").exists()

    def _refuse(self, damaged: list[bytes]) -> None:
        if damaged:
            self._drop(damaged)
            raise KeyError(damaged[0].hex())

    def _drop(self, damaged: list[bytes]) -> None:
        """Deletes damaged rows, so that all see them as missing."""
        self._environment().transact(lambda t: [t.delete(k) for k in damaged], write=True)
        self.notes.append(
            f"{len(damaged)} stored row(s) were damaged (checksum); they are computed again."
        )

    def _describe(self) -> None:
        """Writes `space.json` once per shelf: for people, for `list` and for the order of eviction."""
        if self._described and self._exists():
            return
        os.close(environment.hold(self._folder))
        write_json(
            self._folder / "space.json",
            {
                "what": "rows computed once per sample by headstart; safe to delete when not in use",
                "space": asdict(self.space),
                "last_used": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            },
        )
        self._described = True


class LmdbStore:
    """One folder per namespace under `root`; deletes the least recently used ones above the cap."""

    def __init__(self, root: Path, cap_bytes: int = 20 * 10**9) -> None:
        self.root = Path(root)
        self.cap_bytes = int(cap_bytes)

    def shelf(self, space: Space) -> LmdbShelf:
        """The namespace's rows; opening it counts as use."""
        described = self.root / space.name / "space.json"
        if described.exists():
            os.utime(described)
        return LmdbShelf(self, space)

    def room(self) -> int:
        """Bytes that may still be written: below the cap and the free disk less 10^9 bytes, counting
        in what can be evicted for it."""
        idle = sum(size(f) for f in self._folders() if not _busy(f))
        used = sum(size(f) for f in self._folders()) - idle
        return max(0, min(self.cap_bytes - used, self._free() + idle - SPARE))

    def list(self) -> Sequence[Kept]:
        """All namespaces, most recently used first."""
        kept = []
        for folder in reversed(self._folders()):
            try:
                space = Space(**json.loads((folder / "space.json").read_text("utf-8"))["space"])
                used = (folder / "space.json").stat().st_mtime
                busy = _busy(folder)
                count = environment.at(folder).transact(lambda t: t.stat()["entries"])
                if not busy:
                    environment.at(folder).close()
                kept.append(Kept(space, count, size(folder), used, busy))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # half-deleted, or not ours
        return kept

    def clear(self, space: Space | None = None) -> int:
        """Deletes one namespace, or all, unless another live process uses it; returns bytes freed."""
        folders = self._folders() if space is None else [self.root / space.name]
        freed = 0
        for folder in folders:
            if folder.exists():
                environment.at(folder).close()
                freed += self._delete(folder)
        return freed

    def make_room(self, incoming: int, keep: Space) -> None:
        """Evicts idle namespaces until `incoming` bytes fit. Raises StorageError."""
        folders = self._folders()
        used = sum(size(f) for f in folders)
        for folder in folders:
            if used + incoming <= self.cap_bytes and self._free() - incoming >= SPARE // 10:
                return
            if folder.name != keep.name:
                used -= self._delete(folder)
        if used + incoming > self.cap_bytes:
            raise StorageError(
                f"The feature store at {self.root} holds {used:,} bytes and its cap is "
                f"{self.cap_bytes:,}; {incoming:,} more do not fit. What was computed so far is kept; "
                "raise engine.cap_gb, or run: headstart store clear"
            )

    def _free(self) -> int:
        place = self.root
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def _folders(self) -> Sequence[Path]:
        """Namespace folders, least recently used first."""
        try:
            found = [f for f in self.root.iterdir() if (f / "space.json").exists()]
        except OSError:
            return []
        return sorted(
            (f for f in found if not f.name.startswith(_TRASH)), key=lambda f: (_used(f), f.name)
        )

    def _delete(self, folder: Path) -> int:
        """Deletes an idle folder; returns bytes freed, 0 when it is in use."""
        freed = size(folder)
        with environment.alone(folder) as idle:
            if not idle:
                return 0
            trash = self.root / f"{_TRASH}{os.getpid()}-{folder.name}"
            try:
                folder.rename(trash)
            except OSError:
                return 0
        for left in self.root.glob(f"{_TRASH}*"):  # those of a process that was killed here too
            shutil.rmtree(left, ignore_errors=True)
        return freed


class MemoryShelf:
    """One namespace in this process."""

    def __init__(self, store: MemoryStore, rows: dict[bytes, Row]) -> None:
        self._store = store
        self._rows = rows

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Places in `keys` that are not stored."""
        return [place for place, key in enumerate(keys) if key not in self._rows]

    def put(self, rows: Iterable[tuple[bytes, Row]]) -> None:
        """Stores copies: all or none."""
        copies = {k: {n: np.array(a) for n, a in row.items()} for k, row in rows}
        with self._store.lock:
            self._store.used += sum(a.nbytes for row in copies.values() for a in row.values())
            self._rows.update(copies)

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """Rows in the order of `keys`. Raises KeyError."""
        return [self._rows[key] for key in keys]

    def matrix(self, keys: Sequence[bytes]) -> np.ndarray:
        """(N, width) float32 of the tensor "features". Raises KeyError."""
        if not keys:
            return np.empty((0, 0), np.float32)
        return np.stack([self._rows[key]["features"] for key in keys])


class MemoryStore:
    """Rows in this process only; gone with it."""

    def __init__(self, cap_bytes: int = 4 * 10**9) -> None:
        self.cap_bytes = int(cap_bytes)
        self.used = 0
        self.lock = threading.Lock()
        self._shelves: dict[str, dict[bytes, Row]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"cap_bytes": self.cap_bytes}  # another process starts with an empty one

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def shelf(self, space: Space) -> MemoryShelf:
        """The namespace's rows."""
        with self.lock:
            return MemoryShelf(self, self._shelves.setdefault(space.name, {}))

    def room(self) -> int:
        """Bytes that may still be held."""
        return max(0, self.cap_bytes - self.used)


def size(folder: Path) -> int:
    """Bytes on disk of one namespace."""
    try:
        return (folder / "data.mdb").stat().st_blocks * 512
    except OSError:
        return 0


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON document so that it is there whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(json.dumps(value, indent=1), "utf-8")
    draft.replace(path)


def _used(folder: Path) -> float:
    try:
        return (folder / "space.json").stat().st_mtime
    except OSError:
        return 0.0


def _busy(folder: Path) -> bool:
    with environment.alone(folder) as idle:
        return not idle
