"""Plain facts and warnings about a dataset and its split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headstart.core.dataset import Split
from headstart.data.dataset import ArrowDataset


@dataclass(frozen=True)
class Quality:
    """Facts ("rows", "classes", "imbalance", "duplicates", "conflicts" ...) and warnings."""

    facts: Mapping[str, Any]
    warnings: tuple[str, ...]


def summary(dataset: ArrowDataset, split: Split) -> Quality:
    """Counts, classes, imbalance, duplicates, label conflicts, and columns that give the target away.

    Single columns are looked at on the training rows only.
    """
    raise NotImplementedError
