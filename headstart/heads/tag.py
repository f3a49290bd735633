"""Any number of tags out of several: for each tag a logistic regression of its own.

Tags that are not known for a row are left out for that row. The score is the mean over tags of the area
under the ROC curve, by rows as DeLong, DeLong and Clarke-Pearson (1988) take it apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.evidence import Score
from headstart.core.problem import Problem
from headstart.core.ranking import area
from headstart.errors import DataError, nearest
from headstart.heads._linear import LinearHead

STRENGTHS = tuple(float(c) for c in np.logspace(-5, 3, 17))
LIKELY = 0.5


@dataclass(frozen=True)
class Tags:
    """Names of the tags, sorted.

    A raw target is the tuple of a row's tags; or of pairs (tag, 1, 0 or None) where some tags are not
    known.
    """

    classes: tuple[str, ...]
    outcome: str = "tag"

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Raw targets (N,) -> (N, tags) float64 of 0 and 1, NaN where not known. Raises DataError."""
        place = {name: k for k, name in enumerate(self.classes)}
        made = np.zeros((len(targets), len(self.classes)))
        for row, raw in enumerate(targets):
            for name, value in _pairs(raw):
                if name not in place:
                    raise DataError(
                        f"The tag '{name}' did not occur among the training rows. "
                        f"{nearest(name, self.classes)} Train again with examples of it, or drop it."
                    )
                made[row, place[name]] = np.nan if value is None else value
        return made

    def decode(self, outputs: np.ndarray) -> list[str]:
        """Probabilities (N, tags) -> the likely tags (0.5 or more), joined by "; "."""
        return ["; ".join(n for n, p in zip(self.classes, row, strict=True) if p >= LIKELY)
                for row in outputs]  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}


def _pairs(raw: Any) -> list[tuple[str, Any]]:
    """A row's raw target as pairs (tag, 1, 0 or None). Raises DataError."""
    if isinstance(raw, (str, bytes)) or not isinstance(raw, Sequence):
        raise DataError(
            f"A row's tags came as {raw!r}; expected a list of tags. Name a column of lists, a column "
            "of tags with a ';' between them, or several columns of 0 and 1."
        )
    return [(str(t[0]), t[1]) if isinstance(t, tuple) else (str(t), 1) for t in raw]


def learn(targets: Sequence[Any]) -> Tags:
    """Tags of the training rows. Raises DataError where no tag tells rows apart."""
    pairs = [_pairs(raw) for raw in targets]
    names = sorted({name for row in pairs for name, _ in row})
    made = Tags(tuple(names))
    found = made.encode(targets)
    with_it, without = (found == 1).any(axis=0), (found == 0).any(axis=0)
    if not (with_it & without).any():
        raise DataError(
            "No tag has training rows with it and training rows without it, so there is nothing to "
            "tell apart. Check that the right target column is named."
        )
    return made


def restore(state: Mapping[str, Any]) -> Tags:
    """The tags whose `state()` this is."""
    return Tags(tuple(state["classes"]))


def areas(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean area under the ROC curve over tags that some known rows carry and some do not, taken apart
    by rows: (seeds, rows), whose mean is the area and whose spread DeLong's.

    Args:
        outputs: (seeds, rows, tags), higher for rows that carry the tag.
        targets: (rows, tags) of 0, 1 and NaN.
    """
    seeds, rows, _ = outputs.shape
    usable = _usable(targets)
    made = np.zeros((seeds, rows))
    for tag in usable:
        for seed in range(seeds):
            made[seed] += area(outputs[seed, :, tag], targets[:, tag]) / max(len(usable), 1)
    return made


def _usable(targets: np.ndarray) -> np.ndarray:
    return np.flatnonzero((targets == 1).any(axis=0) & (targets == 0).any(axis=0))


def _undefined(targets: np.ndarray) -> str:
    if len(_usable(targets)):
        return ""
    return "no tag has test rows with it and test rows without it"


SCORE = Score(
    "AUROC",
    "chance to rank a row that carries a tag above one that does not (AUROC, mean over tags)",
    areas,
    points=True,
    undefined=_undefined,
)


def held(held_out: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities (N, tags); 0.5 where a tag is not known, which no score reads."""
    return np.nan_to_num(held_out, nan=0.5)


def losses(said: np.ndarray, labels: np.ndarray, targets: Tags) -> np.ndarray:
    """Log loss of every row, mean over its known tags, (N,), nats."""
    known = np.isfinite(labels)
    right = np.where(np.nan_to_num(labels) == 1, said, 1 - said)
    each = -np.log(np.clip(right, 1e-6, 1.0)) * known
    made: np.ndarray = each.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return made


class Head(LinearHead):
    """Features (N, width) -> logits (N, tags), one independent of the other."""

    classed = True

    def __init__(self, width: int, targets: Tags, dropout: float = 0.0) -> None:
        super().__init__(width, len(targets.classes), dropout)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, mean over the known tags."""
        return self.softened(outputs, targets, 0.0, None)

    def softened(
        self, outputs: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None
    ) -> Tensor:
        """Sum over the known tags by their number; a label's share goes to both answers, half and half."""
        known = torch.isfinite(targets)
        there = torch.nan_to_num(targets).to(outputs.dtype)
        wanted = there * (1 - smoothing) + smoothing / 2 if smoothing else there
        each = F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none")
        if weights is not None:
            each = each * torch.where(there == 1, weights[1], weights[0])
        return (each * known).sum() / known.sum().clamp(min=1)

    def balance(self, targets: np.ndarray) -> Tensor:
        """(2, tags): of rows without a tag and of rows with it, known rows / (2 x such rows); 1 where a tag
        has rows of one kind only."""
        counts = np.stack([(targets == kind).sum(axis=0) for kind in (0, 1)])
        usable = (counts > 0).all(axis=0)
        weights = np.where(usable, counts.sum(axis=0) / (2 * np.maximum(counts, 1)), 1.0)
        return torch.from_numpy(weights.astype(np.float32))

    def problem(self, rows: int) -> Problem:
        """A logistic regression with an L2 penalty for each tag."""
        return Problem("sigmoids", self.outputs, STRENGTHS)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Logits (N, tags) -> probabilities, float64."""
        made: np.ndarray = 1 / (1 + np.exp(-np.clip(outputs.astype(np.float64), -700, 700)))
        return made
