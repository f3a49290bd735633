"""Writing so that a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headstart.core import faults
from headstart.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns the system's errors about `path` into StorageError, with what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            advice = "The disk is full: free some space or choose another output folder."
        else:
            advice = "Check that the folder exists and may be written, or choose another one."
        raise StorageError(
            f"{path} could not be written ({error.strerror or error}). {advice}"
        ) from error


def write(path: Path, data: bytes) -> None:
    """Writes a whole file at once: temporary neighbour, fsync, rename. Raises StorageError."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    with storing(path):
        try:
            write_through(part, data)
            faults.point("registry.before_replace")
            os.replace(part, path)
            sync(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def write_through(path: Path, data: bytes) -> None:
    """Writes a file and waits until the disk has it. Raises OSError."""
    with path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        faults.point("registry.before_fsync")
        os.fsync(handle.fileno())


def sync(folder: Path) -> None:
    """Waits until the disk knows the names in `folder`; systems that cannot do so are left alone."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
