"""One class out of several: multinomial logistic regression on features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from headstart.core.evidence import Score
from headstart.core.head import probabilities
from headstart.core.problem import Problem
from headstart.errors import DataError, nearest
from headstart.heads._linear import LinearHead, balance

STRENGTHS = tuple(float(c) for c in np.logspace(-5, 3, 17))


@dataclass(frozen=True)
class Classes:
    """Class names in a fixed order.

    Attributes:
        classes: as text, for people.
        raw: as they came (numbers stay numbers), sorted.
    """

    classes: tuple[str, ...]
    raw: tuple[Any, ...]
    outcome: str = "classify"
    _places: dict[Any, int] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._places.update({name: place for place, name in enumerate(self.raw)})

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Names (N,) -> class numbers (N,) int64. Raises DataError for a class never seen."""
        try:
            return np.array([self._places[t] for t in targets], dtype=np.int64)
        except KeyError as error:
            name = str(error.args[0])
            raise DataError(
                f"The class '{name}' did not occur among the training rows. "
                f"{nearest(name, self.classes)} Train again with examples of it, or drop these rows."
            ) from None

    def decode(self, outputs: np.ndarray) -> list[Any]:
        """Probabilities (N, classes) -> the likeliest names (N,)."""
        return [self.raw[i] for i in outputs.argmax(axis=1)]

    def state(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "raw": list(self.raw)}


def learn(targets: Sequence[Any]) -> Classes:
    """Classes of the training rows, sorted. Raises DataError when there are fewer than two."""
    plain = [t.item() if isinstance(t, np.generic) else t for t in targets]
    counts = Counter(plain)
    if len(counts) < 2:
        only = ", ".join(str(c) for c in counts) or "none"
        raise DataError(
            f"The training rows hold one class only ({only}); telling classes apart needs two. "
            "Add examples of another class, or name the right target column."
        )
    raw = sorted(counts, key=lambda c: (str(type(c)), c))
    return Classes(tuple(str(c) for c in raw), tuple(raw))


def restore(state: Mapping[str, Any]) -> Classes:
    """The classes whose `state()` this is."""
    return Classes(tuple(state["classes"]), tuple(state["raw"]))


def right(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 where the likeliest class is the true one, else 0: (seeds, rows)."""
    return np.where(outputs.argmax(axis=2) == targets[None, :], 1.0, 0.0)


SCORE = Score("accuracy", "share of right answers", right, share=True, points=True)


def held(held_out: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities (N, classes), as they are."""
    return held_out


def losses(said: np.ndarray, labels: np.ndarray, targets: Classes) -> np.ndarray:
    """Log loss of every row, (N,), nats."""
    sure = said[np.arange(len(labels)), labels]
    made: np.ndarray = -np.log(np.clip(sure, 1e-6, 1.0))
    return made


class Head(LinearHead):
    """Features (N, width) -> logits (N, classes)."""

    classed = one_class = True

    def __init__(self, width: int, targets: Classes, dropout: float = 0.0) -> None:
        super().__init__(width, len(targets.classes), dropout)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, mean over rows."""
        return F.cross_entropy(outputs, targets)

    def softened(
        self, outputs: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None
    ) -> Tensor:
        """Cross-entropy with smoothed labels and weighted classes, sum over rows by their number."""
        made = F.cross_entropy(
            outputs, targets, weights, reduction="sum", label_smoothing=smoothing
        )
        return made / len(targets)

    def balance(self, targets: np.ndarray) -> Tensor:
        """(classes,)"""
        return balance(targets, self.outputs)

    def problem(self, rows: int) -> Problem:
        """Multinomial logistic regression with an L2 penalty."""
        return Problem("softmax", self.outputs, STRENGTHS)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Logits (N, classes) -> probabilities, float64."""
        return probabilities(outputs)
