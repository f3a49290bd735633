"""The seal on the test split: every opening is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.core.dataset import Split


class Seal:
    """Guards the test rows of one split.

    Args:
        ledger: JSONL file, shared by all runs; one line an opening.
    """

    def __init__(self, split: Split, ledger: Path) -> None:
        raise NotImplementedError

    @property
    def test_rows(self) -> np.ndarray:
        """(n,) int64 row numbers. Raises SealedError before `open`."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """Test rows; known without opening."""
        raise NotImplementedError

    def open(self, reason: str) -> np.ndarray:
        """Writes the opening down, then returns the row numbers. Raises StorageError."""
        raise NotImplementedError

    def openings(self) -> int:
        """How often this test split was opened, over all runs."""
        raise NotImplementedError


def openings(digest: str, ledger: Path) -> int:
    """How often the split of that digest was opened, over all runs."""
    raise NotImplementedError
