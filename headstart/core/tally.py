"""What preprocessing did to how many samples, each of which counts once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np


class Tally(dict[str, int]):
    """Counts by what happened. A sample counts once, however often it is read: folds, epochs and arms read
    the same rows again. Equal samples are one. Threads may note at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def note(self, sample: Any, found: Mapping[str, int]) -> None:
        """Adds what was found in a sample, unless it was added before; one without findings costs nothing.

        Args:
            sample: its content: mappings, sequences, arrays, texts, numbers.
        """
        if not any(found.values()):
            return
        mark = _mark(sample)
        with self._lock:
            if mark in self._seen:
                return
            self._seen.add(mark)
            for what, count in found.items():
                if count:
                    self[what] = self.get(what, 0) + count

    def clear(self) -> None:
        """Forgets the counts, and which samples were counted."""
        with self._lock:
            super().clear()
            self._seen.clear()


def _mark(value: Any) -> int:
    if isinstance(value, Mapping):
        return hash(tuple((k, _mark(v)) for k, v in value.items()))
    if isinstance(value, np.ndarray):
        return hash((value.shape, value.tobytes()))
    if isinstance(value, (list, tuple)):
        return hash(tuple(map(_mark, value)))
    try:
        return hash(value)
    except TypeError:
        return hash(repr(value))
