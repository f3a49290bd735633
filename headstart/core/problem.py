"""The convex problem that a head describes, and its solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Problem:
    """L2-regularised linear problem on stored features.

    Attributes:
        loss: "softmax" (multinomial logistic regression) or "squares" (ridge).
        outputs: classes, or regression targets.
        strengths: C of scikit-learn: sum of losses * C + 0.5 ||W||^2, intercept unpenalised; for
            "squares" alpha = 1 / C.
        balanced: weigh classes inversely to their frequency.
    """

    loss: Literal["softmax", "squares"]
    outputs: int
    strengths: tuple[float, ...]
    balanced: bool = False


@dataclass(frozen=True)
class Solution:
    """What the solver found, in the space of the unscaled features.

    Attributes:
        weight: (outputs, width) float32.
        bias: (outputs,) float32.
        strength: the chosen one.
        scores: (folds, strengths), higher is better.
        held_out: (rows, outputs) out-of-fold probabilities or predictions at the chosen strength.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    scores: np.ndarray
    held_out: np.ndarray
