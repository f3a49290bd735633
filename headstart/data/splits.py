"""Splits without leakage, folds, and the draw of a few labelled rows per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.core.dataset import SetAside, Split
from headstart.core.task import Task
from headstart.data.dataset import ArrowDataset


@dataclass(frozen=True)
class MadeSplit(Split):
    """A split with what was done to make it.

    Attributes:
        groups: (len(train),) int64; rows of one number belong together (near-duplicates, the group
            column) and must share a fold.
        unused: rows of the training part that `per_class` did not draw, sorted.
        set_aside: training rows left out because a test row repeats them or shares their group.
        notes: sentences for a person.
    """

    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    unused: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    set_aside: tuple[SetAside, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folds:
    """(train, validation) positions per fold, into the targets that were given; and notes."""

    parts: tuple[tuple[np.ndarray, np.ndarray], ...]
    notes: tuple[str, ...] = ()


def make_split(
    dataset: ArrowDataset, task: Task, seed: int, signatures: np.ndarray | None = None
) -> MadeSplit:
    """Training and test rows: by the split column, by time, by groups, or drawn.

    Args:
        signatures: (n, bytes) uint8; None takes the dataset's own.

    Raises:
        DataError: no split of that kind exists (one group, a class with one example ...).
    """
    raise NotImplementedError


def folds(
    targets: Sequence[Any],
    k: int,
    seed: int,
    groups: np.ndarray | None = None,
    outcome: str = "classify",
) -> Folds:
    """k-fold: stratified by class (by quantile for "regress"), groups kept together."""
    raise NotImplementedError


def draw(targets: Sequence[Any], per_class: int, seed: int) -> np.ndarray:
    """`per_class` positions of every class, sorted; the protocol of few-label benchmarks.

    One `numpy.random.default_rng(seed)`; for each class in sorted order,
    `rng.choice(positions_of_class, size=min(per_class, count), replace=False)`.
    """
    raise NotImplementedError
