"""One of several ordered levels (grades, stars): a logistic regression for each step from level to level.

Each step asks whether a row lies above it (Frank and Hall 2001, "A simple approach to ordinal
classification"); the answers are brought into falling order, and their differences are the probabilities of
the levels. What is told is the median level. The score is closeness: 1 less the mean absolute error in
levels, in units of the largest error that there could be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.evidence import Score
from headstart.core.ordinal import median
from headstart.core.problem import Problem
from headstart.errors import DataError, nearest
from headstart.heads._linear import LinearHead

STRENGTHS = tuple(float(c) for c in np.logspace(-5, 3, 17))
MOST = 20
"""Numbers with more distinct values than this are no levels, unless somebody says so."""
SIMPLE = "classify"


@dataclass(frozen=True)
class Levels:
    """Levels, the lowest first.

    Attributes:
        classes: as text, for people.
        raw: as they came (numbers stay numbers).
    """

    classes: tuple[str, ...]
    raw: tuple[Any, ...]
    outcome: str = "ordinal"
    _places: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._places.update({name: place for place, name in enumerate(self.classes)})

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Levels (N,) -> their numbers (N,) int64, 0 the lowest. Raises DataError for an unknown one."""
        try:
            return np.array([self._places[str(_plain(t))] for t in targets], dtype=np.int64)
        except KeyError as error:
            name = str(error.args[0])
            raise DataError(
                f"The level '{name}' is none of those that were learned, {' < '.join(self.classes)}. "
                f"{nearest(name, self.classes)} Train again with it among the levels, or drop these rows."
            ) from None

    def decode(self, outputs: np.ndarray) -> list[Any]:
        """Probabilities (N, levels) -> the median levels (N,)."""
        return [self.raw[i] for i in median(outputs)]

    def state(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "raw": list(self.raw)}


def _plain(target: Any) -> Any:
    """A level as plain Python. Raises DataError for what is none."""
    target = target.item() if isinstance(target, np.generic) else target
    if isinstance(target, str) or (isinstance(target, (int, float)) and math.isfinite(target)):
        return target
    raise DataError(
        f"A level came as {str(target)[:60]!r}; expected one text or finite number a row. Name another "
        "target column, or another outcome."
    )


def learn(targets: Sequence[Any], levels: Sequence[str] = ()) -> Levels:
    """The levels in the order that is given, else numbers rising.

    Raises:
        DataError: words without an order, more numbers than levels can be, or one level only.
    """
    known = {str(t): t for t in map(_plain, targets)}
    if len(known) < 2:
        raise DataError(
            f"The training rows hold one level only ({', '.join(known) or 'none'}); telling levels apart "
            "needs two. Add examples of another level, or name the right target column."
        )
    names = tuple(levels) or _rising(known)
    made = Levels(names, tuple(known.get(name, name) for name in names))
    made.encode(list(known))
    return made


def _rising(known: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of numbers, the lowest first. Raises DataError."""
    try:
        numbers = {name: float(value) for name, value in known.items()}
    except ValueError:
        shown = ", ".join(f"'{n}'" for n in sorted(known)[:8]) + (" ..." if len(known) > 8 else "")
        raise DataError(
            f"Nothing says which of the levels {shown} is above which. Give all of them from the lowest to "
            "the highest: --levels LOWEST,...,HIGHEST, or levels=[...] in Python and in a plan's [task]; or "
            "hand over numbers, or an ordered categorical."
        ) from None
    if len(known) > MOST:
        raise DataError(
            f"The target holds {len(known)} distinct numbers; expected at most {MOST} levels. Choose the "
            "outcome regress, or give the levels from the lowest to the highest."
        )
    return tuple(sorted(known, key=lambda name: numbers[name]))


def restore(state: Mapping[str, Any]) -> Levels:
    """The levels whose `state()` this is."""
    return Levels(tuple(state["classes"]), tuple(state["raw"]))


def close(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 less the distance between told and true level, in units of the largest: (seeds, rows)."""
    far = np.abs(median(outputs) - targets[None, :])
    return np.asarray(1.0 - far / (outputs.shape[2] - 1))


SCORE = Score(
    "closeness",
    "closeness to the true level (100 %: always right; 0 %: as far off as can be)",
    close,
    share=True,
    points=True,
)


def held(held_out: np.ndarray) -> np.ndarray:
    """Out-of-fold answers to the steps (N, levels - 1) -> probabilities (N, levels).

    Where no fold could ask a step of a row, the mean answer of the other rows stands for it.
    """
    known = np.isfinite(held_out)
    count = np.maximum(known.sum(axis=0), 1)
    usual = np.where(known, held_out, 0.0).sum(axis=0) / count
    usual = np.where(known.any(axis=0), usual, 0.5)
    return _shares(np.where(known, held_out, usual[None, :]).astype(np.float64))


def losses(said: np.ndarray, labels: np.ndarray, targets: Levels) -> np.ndarray:
    """Binary log loss of every row, mean over the steps, (N,), nats."""
    above = 1.0 - np.cumsum(said, axis=1)[:, :-1]
    right = np.where(_above(labels, len(targets.classes)) == 1, above, 1.0 - above)
    made: np.ndarray = -np.log(np.clip(right, 1e-6, 1.0)).mean(axis=1)
    return made


def _above(labels: Any, levels: int) -> Any:
    """(N, levels - 1) of 0 and 1: whether a row lies above each level but the highest."""
    return (labels[:, None] > np.arange(levels - 1)[None, :]).astype(np.float64)


def _shares(above: np.ndarray) -> np.ndarray:
    """Answers to the steps (N, levels - 1) -> probabilities (N, levels), which add up to one.

    Answers that rise from a step to the next are replaced by the middle between the falling sequences that
    lie just below and just above them.
    """
    below = np.minimum.accumulate(above, axis=1)
    over = np.maximum.accumulate(above[:, ::-1], axis=1)[:, ::-1]
    falling = (below + over) / 2
    return np.asarray(-np.diff(falling, axis=1, prepend=1.0, append=0.0))


class Head(LinearHead):
    """Features (N, width) -> logits (N, levels - 1), one a step: whether the row lies above it."""

    def __init__(self, width: int, targets: Levels, dropout: float = 0.0) -> None:
        super().__init__(width, len(targets.classes) - 1, dropout)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, mean over rows and steps. targets (N,), numbers of levels."""
        steps = torch.arange(self.outputs, device=targets.device)
        wanted = (targets[:, None] > steps[None, :]).to(outputs.dtype)
        return F.binary_cross_entropy_with_logits(outputs, wanted)

    def wanted(self, targets: np.ndarray) -> np.ndarray:
        """Numbers of levels (N,) -> (N, levels - 1) of 0 and 1."""
        return np.asarray(_above(targets, self.outputs + 1))

    def problem(self, rows: int) -> Problem:
        """A logistic regression with an L2 penalty for each step."""
        return Problem("sigmoids", self.outputs, STRENGTHS)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Logits (N, levels - 1) -> probabilities (N, levels), float64."""
        return _shares(1 / (1 + np.exp(-np.clip(outputs.astype(np.float64), -700, 700))))
