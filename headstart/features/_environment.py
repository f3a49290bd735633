"""LMDB environments of this process: each folder is opened once, before a fork all are closed.

A folder in use holds a shared lock on its `use.lock`; who wants to delete it needs that lock alone. The
kernel drops a dead process's locks, so nothing is left behind by `kill -9`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from headstart.core import faults
from headstart.errors import StorageError

try:
    import fcntl
except ImportError:  # not a POSIX system: folders are not guarded against other processes
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")
FIRST_MAP = 64 << 20  # bytes of address space, not of disk
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_registry = threading.RLock()
_open: dict[str, Environment] = {}


class Environment:
    """One folder's database; `transact` is the only way in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self._env: Any = None
        self._use = -1

    def ready(self) -> Any:
        """The open environment; the caller holds `lock`."""
        if self._env is None:
            self._use = hold(self.folder)
            data = self.folder / "data.mdb"
            size = data.stat().st_size if data.exists() else 0
            self._env = lmdb.open(
                str(self.folder),
                map_size=max(FIRST_MAP, 2 * size),
                max_readers=512,
                metasync=False,  # a power cut may cost the last commit, never the database
                writemap=False,
            )
            self._env.reader_check()
        return self._env

    def close(self) -> None:
        """Closes it; the next use opens it again."""
        with self.lock:
            if self._env is not None:
                self._env.close()
                os.close(self._use)
                self._env, self._use = None, -1

    def transact(self, work: Callable[[Any], T], write: bool = False) -> T:
        """Runs `work(transaction)`, again after the map has grown. All or none is stored.

        Raises:
            StorageError: the disk is full; the transaction has left no trace.
        """
        with self.lock:
            while True:
                try:
                    env = self.ready()
                    with env.begin(write=write, buffers=True) as transaction:
                        result = work(transaction)
                        if write:
                            faults.point("store.before_commit")
                    if write:
                        faults.point("store.after_commit")
                    return result
                except lmdb.MapFullError:
                    env.set_mapsize(2 * env.info()["map_size"])
                except lmdb.MapResizedError:  # another process has grown it
                    env.set_mapsize(0)
                except (lmdb.DiskError, OSError) as error:
                    raise full(error, self.folder) from error


def full(error: Exception, folder: Path) -> Exception:
    """The error of a full disk in a person's words; any other error unchanged."""
    number = getattr(error, "errno", None)
    if number not in FULL and not isinstance(error, lmdb.DiskError):
        return error
    try:
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    except OSError:
        free = 0
    return StorageError(
        f"The disk of the feature store is full: {free:,} bytes are free at {folder.parent}. What was "
        f"computed so far is kept; free {max(10**9 - free, 10**8):,} bytes or set --store to another disk."
    )


def at(folder: Path) -> Environment:
    """This process's environment of a folder; the folder is made when it is first written or read."""
    name = os.path.realpath(folder)
    with _registry:
        if name not in _open:
            _open[name] = Environment(Path(name))
        return _open[name]


def hold(folder: Path) -> int:
    """Makes the folder and takes the shared lock on it; returns the descriptor that holds it."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "use.lock"
            use = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except FileNotFoundError:  # deleted between the two calls
            continue
        if fcntl is not None:
            fcntl.flock(use, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(use), path.stat()):
                return use
        os.close(use)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether nobody, this process included, has the folder open; holds it against all meanwhile."""
    try:
        use = os.open(folder / "use.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        yield False
        return
    try:
        if fcntl is not None:
            try:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
        yield fcntl is not None or _open.get(os.path.realpath(folder)) is None
    finally:
        os.close(use)


def _before_fork() -> None:
    _registry.acquire()
    for environment in _open.values():
        environment.lock.acquire()
        environment.close()


def _after_fork() -> None:
    for environment in _open.values():
        environment.lock.release()
    _registry.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
