"""Forward once: rows to features or kept states, through the store.

    decode + transform (threads) -> bucket by length -> forward (executor) -> write (thread)

Only rows that the store lacks are forwarded; equal samples are forwarded once; every second or so what
is done is committed, so that a killed extraction goes on where it stopped.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import digest
from headstart.core.dataset import Dataset
from headstart.core.executor import Runner
from headstart.core.modality import Transform
from headstart.core.network import FEATURES, Backbone
from headstart.core.run import Step, Watcher
from headstart.core.store import Row, Shelf, Space, Store
from headstart.engine import _choose as choose
from headstart.engine._pipeline import (
    Bucketer,
    Item,
    Lanes,
    Refused,
    Writer,
    out_of_memory,
    prepared,
)
from headstart.engine._trunk import Trunk, nbytes, to_batch, to_rows
from headstart.errors import ContractError, StorageError

BUDGET = 512 << 20  # bytes of activations that all forward passes together may take
MOST = {"cpu": 32}  # rows a batch; more gains nothing on a processor


@dataclass(frozen=True)
class How:
    """How an extraction is carried out; none of it is a property of the data.

    Attributes:
        executor: "auto", or a file name of `engine/executors/`.
        profile: "exact" or "fast".
        device: "cpu", "cuda", "cuda:1" ... (resolved: never "auto").
        processor: what `features.key.device(device)` says; part of the namespace.
        threads: decoding threads; 0: one per core.
        batch: rows per forward; 0: by memory.
        view: number of the augmented view that is drawn; -1: no augmentation.
        cache: private folder for compiled artefacts; None: a temporary one.
    """

    executor: str = "auto"
    profile: str = "exact"
    device: str = "cpu"
    processor: str = ""
    threads: int = 0
    batch: int = 0
    view: int = -1
    cache: Path | None = None


@dataclass(frozen=True)
class Late:
    """A row that the transform refused.

    Attributes:
        row: its number in the data set.
    """

    row: int
    name: str
    reason: str
    remedy: str


class States:
    """Kept states by place, read lazily: nothing is held between two batches."""

    def __init__(self, shelf: Shelf, keys: Sequence[bytes], ragged: Sequence[str]) -> None:
        self._shelf = shelf
        self._keys = keys
        self._ragged = tuple(ragged)

    def __len__(self) -> int:
        return len(self._keys)

    def batch(self, places: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """State of some places (0 .. len - 1, in the order of `Extraction.rows`): tensors with the
        batch first, ragged ones padded with zeros, `mask` (N, L) bool where there are any.

        Raises:
            StorageError: a row has gone or was damaged since; the next extraction computes it.
        """
        try:
            rows = self._shelf.get([self._keys[int(p)] for p in places])
        except KeyError as error:
            raise StorageError(
                f"The kept state {error} is no longer readable in the feature store. Run again: only "
                "what is missing is computed."
            ) from error
        return to_batch(rows, self._ragged)


@dataclass
class Extraction:
    """What came of it.

    Attributes:
        rows: (N,) row numbers that have features or states: the asked ones without the set aside.
        features: (N, width) float32 for pooled features, else None.
        states: kept states for a cut; None for pooled features, and None with a note when they are
            too large to keep, so that the caller recomputes them.
        set_aside: rows that the transform refused.
        forwards: rows that went through the network in this call.
        seconds: wall time of this call.
        executor: label of what computed the rows ("onnx 1.31").
        bytes: size of the rows in the store.
        notes: sentences for a person.
    """

    rows: np.ndarray
    features: np.ndarray | None = None
    states: States | None = None
    set_aside: tuple[Late, ...] = ()
    forwards: int = 0
    seconds: float = 0.0
    executor: str = ""
    bytes: int = 0
    notes: tuple[str, ...] = field(default=())


def extract(
    dataset: Dataset,
    rows: np.ndarray,
    *,
    backbone: Backbone,
    transform: Transform,
    store: Store,
    weights: str,
    cut: int | None = None,
    how: How | None = None,
    watcher: Watcher | None = None,
) -> Extraction:
    """Features (cut None) or states before stage `cut`, of `rows`, from the store or computed now.

    Args:
        backbone: put into eval mode; neither moved nor changed.
        transform: of profile "exact"; the profile's own is asked for here.
        weights: digest of the backbone's tensors.

    Raises:
        StorageError: the disk is full; what was computed so far is kept.
    """
    how = how or How()
    if how.cache is None:
        with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
            how = dataclasses.replace(how, cache=Path(folder))
            job = _Job(dataset, rows, backbone, transform, store, weights, cut, how, watcher)
            return job.run()
    return _Job(dataset, rows, backbone, transform, store, weights, cut, how, watcher).run()


class _Job:
    """One call of `extract`."""

    def __init__(
        self,
        dataset: Dataset,
        rows: np.ndarray,
        backbone: Backbone,
        transform: Transform,
        store: Store,
        weights: str,
        cut: int | None,
        how: How,
        watcher: Watcher | None,
    ) -> None:
        self.dataset, self.rows = dataset, np.asarray(rows, np.int64)
        self.backbone = backbone.eval()
        self.asked, self.transform = transform, transform.profile(how.profile)
        self.store, self.weights, self.cut, self.how = store, weights, cut, how
        self.watcher = watcher
        self.cache = how.cache or Path()
        self.trunk = Trunk(backbone, cut)
        self.keys = dataset.digests(self.rows) if len(self.rows) else []
        self.first = {key: place for place, key in reversed(list(enumerate(self.keys)))}
        self.unique = sorted(self.first, key=self.first.__getitem__)
        self.refused: dict[bytes, Refused] = {}
        self.forwards = 0
        self.notes: list[str] = []
        self.row_bytes = 0
        self.peak = 0
        self.rates_of = digest.value(
            [weights, cut, self.transform.digest, how.profile, how.device, how.processor]
        )

    def run(self) -> Extraction:
        """Computes what is missing, then reads; a row that turns out damaged is computed again."""
        start = time.monotonic()
        found, notes = choose.candidates(self.how, self.space, self.store, self.unique)
        self.notes += notes
        if not found:
            raise ContractError("No executor serves this profile and device.")
        made: Extraction | None = None
        for _ in range(3):
            chosen = self.fill(found)
            if chosen is None:
                break
            try:
                made = self.read(chosen)
                break
            except KeyError:  # damaged since it was listed
                for c in found:
                    c.absent = c.shelf.missing(self.unique)
                found = [chosen]
        result = made or Extraction(np.empty(0, np.int64))
        result.set_aside = tuple(self.late())
        result.forwards, result.seconds = self.forwards, time.monotonic() - start
        result.notes = tuple(dict.fromkeys(self.notes))
        if self.transform is not self.asked:
            for name, count in self.transform.counts.items():
                self.asked.counts[name] = self.asked.counts.get(name, 0) + count
        return result
