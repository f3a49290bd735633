"""Forward once: rows to features or kept states, through the store.

    decode + transform (threads) -> bucket by length -> forward (executor) -> write (thread)

Only rows that the store lacks are forwarded; equal samples are forwarded once; every second or so what
is done is committed, so that a killed extraction goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from headstart.core.dataset import Dataset
from headstart.core.modality import Transform
from headstart.core.network import Backbone
from headstart.core.run import Watcher
from headstart.core.store import Store


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

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, places: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """State of some places (0 .. len - 1, in the order of `Extraction.rows`), padded, with mask."""
        raise NotImplementedError


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
        backbone: in eval mode; it is neither changed nor moved back when it was moved.
        transform: of profile "exact"; the profile's own is asked for here.
        weights: digest of the backbone's tensors.

    Raises:
        StorageError: the disk is full; what was computed so far is kept.
    """
    raise NotImplementedError
