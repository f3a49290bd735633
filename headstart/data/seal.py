"""The seal on the test split: every opening is counted.

The ledger is a file of JSON lines that is only ever added to. A line is written, under an exclusive
lock, and forced to the disk before the row numbers are handed out.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np

from headstart.core.dataset import Split
from headstart.data.storage import folder, storing
from headstart.errors import DataError, SealedError


class Seal:
    """Guards the test rows of one split.

    Args:
        split: with its test rows; keep no other copy of it.
        ledger: JSONL file, shared by all runs; one line an opening.
    """

    def __init__(self, split: Split, ledger: Path) -> None:
        self.digest = split.digest
        self._test_digest = getattr(split, "test_digest", "") or split.digest
        self._test, self._ledger = split.test, ledger
        self._open = False

    @property
    def test_rows(self) -> np.ndarray:
        """(n,) int64 row numbers. Raises SealedError before `open`."""
        if not self._open:
            raise SealedError(
                "The test rows were asked for while the split is sealed. Expected `open(reason)` first, "
                "once per run and only by `adapt`; use folds of the training part for choices."
            )
        return self._test

    @property
    def count(self) -> int:
        """Test rows; known without opening."""
        return len(self._test)

    def open(self, reason: str) -> np.ndarray:
        """Writes the opening down, then returns the row numbers. Raises StorageError."""
        line = {
            "split": self.digest,
            "test": self._test_digest,
            "reason": reason,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        folder(self._ledger.parent)
        with storing(self._ledger), self._ledger.open("ab+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # released when the file is closed
            handle.write(_fresh_line(handle) + json.dumps(line).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        self._open = True
        return self.test_rows

    def openings(self) -> int:
        """How often these test rows were opened, over all runs and whatever was learned from."""
        return openings(self._test_digest, self._ledger)


def _fresh_line(handle: BinaryIO) -> bytes:
    """What ends a line that a kill has torn."""
    if handle.seek(0, os.SEEK_END) == 0:
        return b""
    handle.seek(-1, os.SEEK_END)
    return b"" if handle.read(1) == b"\n" else b"\n"


def openings(digest: str, ledger: Path) -> int:
    """How often a split was opened, over all runs.

    Args:
        digest: a split's `digest`, or its `test_digest`: then openings of the same test rows count
            although other training rows were drawn.

    Raises:
        DataError: a line of the ledger was tampered with.
    """
    if not ledger.exists():
        return 0
    count = 0
    with ledger.open(encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        for number, text in enumerate(handle, start=1):
            try:
                line = json.loads(text)
                count += digest in (line["split"], line["test"])
            except (ValueError, KeyError, TypeError):
                if not text.rstrip().endswith("}"):
                    continue  # torn by a kill: these rows were never handed out
                raise DataError(
                    f"Line {number} of {ledger} is no opening: {text[:60]!r}. The ledger is only added "
                    "to by runs; restore it from a copy, or move it away to begin a new count."
                ) from None
    return count
