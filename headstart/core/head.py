"""Head: from features to the outcome, and the convex problem that solves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.evidence import Score
from headstart.core.problem import Problem, Solution


class Dropout(nn.Module):
    """Sets a share of the features to zero while training and enlarges the others in proportion.

    Other than torch's, it may draw from a generator of its own, so that trainings side by side do not
    disturb each other.

    Attributes:
        generator: where it draws from; None: torch's global one.
    """

    generator: torch.Generator | None = None

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return features
        kept = torch.empty_like(features).bernoulli_(1 - self.share, generator=self.generator)
        return features * kept / (1 - self.share)


class Head(nn.Module):
    """Maps features (N, width) to raw outputs (N, outputs).

    A subclass lives in `heads/<outcome>.py` and is called `Head` there. `dropout` acts on the features
    while training. One that reads positions maps (N, L, width) to (N, L, outputs), and its predictions
    are NaN behind a row's end.

    Attributes:
        reads: "pooled" features of whole samples, or those of "positions".
        asks: name of what a modality's reader must offer for this outcome ("UNITS"); "": nothing.
        settled_by: the strategy that settles it without training.
        solves_itself: whether it has a `solve` of its own in place of a `problem`; then no other strategy
            than `settled_by` can train it.
        classed: whether its targets are classes, so that `softened` and `balance` serve it.
        one_class: whether a row's target is the number of one of `outputs` classes.
    """

    reads: Literal["pooled", "positions"] = "pooled"
    asks: str = ""
    settled_by: str = "linear_probe"
    solves_itself: bool = False
    classed: bool = False
    one_class: bool = False
    width: int
    outputs: int

    @property
    def inside(self) -> int:
        """How many training rows it holds as they are."""
        return 0

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over rows. outputs (N, outputs), targets as `Targets.encode` gave them."""
        raise TypeError(f"{type(self).__name__} has no loss().")

    def softened(
        self, outputs: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None
    ) -> Tensor:
        """`loss` with a share of each label spread over all classes, and with weighted classes.

        Args:
            smoothing: the share, 0 <= smoothing < 1.
            weights: as `balance` gives them; None: all alike.
        """
        raise TypeError(f"{type(self).__name__} has no classes to smooth or to weigh.")

    def balance(self, targets: np.ndarray) -> Tensor:
        """Weights under which all classes count alike, from the encoded targets of the training rows; their
        mean over these is 1."""
        raise TypeError(f"{type(self).__name__} has no classes to weigh.")

    def directions(self) -> Tensor | None:
        """The direction in which each output grows with the features, (outputs, width); None: it differs
        from place to place."""
        return None

    def wanted(self, targets: np.ndarray) -> np.ndarray:
        """What of the encoded targets the convex problem is to give: (N,) or (N, outputs)."""
        return targets

    def each(self, targets: np.ndarray) -> np.ndarray:
        """Encoded targets -> those of single positions, (N, L) or (N, L, outputs), -1 where there is none;
        for heads that read positions."""
        return targets

    def problem(self, rows: int) -> Problem:
        """The convex problem on stored features; `engine/solve.py` solves it."""
        raise TypeError(f"{type(self).__name__} describes no convex problem.")

    def solve(self, features: np.ndarray, labels: np.ndarray, parts: Sequence[Any]) -> Solution:
        """The solution of a head that solves itself, from labelled rows; what `settle` takes needs
        `strength` and `held_out` as a `Solution` has them.

        Args:
            features: (N, width).
            labels: (N,) or (N, columns), as `Targets.encode` gave them.
            parts: pairs of places, to learn from and held out; a row that none holds out is NaN in
                `held_out`.
        """
        raise TypeError(f"{type(self).__name__} does not solve itself.")

    def settle(self, solution: Solution) -> None:
        """Takes over a solution of `problem` or `solve`."""
        raise TypeError(f"{type(self).__name__} takes no solution.")

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs (N, outputs) -> what arms and packs give: probabilities (N, classes), or numbers
        (N,) or (N, outputs); of positions (N, L, outputs) -> (N, L, classes), or numbers (N, ...)."""
        raise TypeError(f"{type(self).__name__} has no predict().")


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Logits (N, classes) -> probabilities, float64."""
    grown: np.ndarray = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


@runtime_checkable
class Targets(Protocol):
    """How raw targets become numbers; learned on training rows, sealed in the pack.

    Three functions more are used where they are offered: `held(held_out)`, in place of the head file's, where
    predictions depend on what was learned; `informed(said, labels, features,
    groups)`, the targets with what the trained model's held-out outputs tell of its errors and the features
    of the training rows of what is usual; and `told(outputs, targets, features)`, columns of numbers,
    (N, steps) each, where a row is told as more than one value.
    """

    outcome: str
    classes: tuple[str, ...]

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Raw targets (N,) -> numbers (N,) or (N, columns), or classes of positions (N, L) with -1 where
        there is no label. Raises DataError for a class never seen."""
        ...

    def decode(self, outputs: np.ndarray) -> list[Any]:
        """What `Head.predict` gave -> what a person is told, row by row."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What JSON can hold, enough for `restore`."""
        ...


class HeadFile(Protocol):
    """What the file `heads/<outcome>.py` offers.

    Attributes:
        SCORE: how rows are scored; targets may bring a `score` of their own, where it depends on them.
        SIMPLE: the outcome that simple models are fitted to, where it is another one; their outputs are
            then those of the head, too. Absent means its own.

    Where data have `levels`, names in rising order, `learn` is given them too.
    """

    Head: type[Head]
    SCORE: Score

    def learn(self, targets: Sequence[Any]) -> Targets: ...

    def restore(self, state: Mapping[str, Any]) -> Targets: ...

    def held(self, held_out: np.ndarray) -> np.ndarray:
        """`Solution.held_out` (N, outputs) -> as `Head.predict` gives it."""
        ...

    def losses(self, said: np.ndarray, labels: np.ndarray, targets: Any) -> np.ndarray:
        """Loss of every row (N,), by which strategies are compared; `said` as `Head.predict` gives it,
        `labels` as `targets` encode them."""
        ...
