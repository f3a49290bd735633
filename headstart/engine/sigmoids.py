"""One logistic regression for each tag, on the rows where the tag is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.core.problem import Problem, Solution
from headstart.errors import DataError

Array = NDArray[Any]
Fold = tuple[Array, Array]


def solve(
    one: Callable[..., Solution],
    problem: Problem,
    features: Array,
    targets: Array,
    folds: Sequence[Fold] | None,
    weights: Array | None,
) -> Solution:
    """Solves each output as two classes; a tag that no known row carries, or all of them, is a constant.

    Args:
        one: solves a softmax problem: (problem, features, classes, folds=..., weights=...).
        targets: (rows, outputs) of 0 and 1, NaN where not known.
        folds: pairs of row numbers (training, validation), or None for a plain fit.

    Raises:
        DataError: shapes or values that cannot be used.
    """
    features, targets, known = _checked(features, targets, problem.outputs)
    binary = Problem("softmax", 2, problem.strengths)
    weight = np.zeros((problem.outputs, features.shape[1]), np.float32)
    bias = np.zeros(problem.outputs, np.float32)
    rows = len(features) if folds is not None else 0
    held = np.full((rows, problem.outputs), np.nan, np.float32)
    strengths, scores = [], []
    for tag in range(problem.outputs):
        places = np.flatnonzero(known[:, tag])
        classes = targets[places, tag].astype(np.intp)
        cut = None if folds is None else _inside(folds, places, classes)
        if not classes.any() or classes.all() or cut == []:
            bias[tag], held[:, tag] = _constant(classes)
            continue
        own = None if weights is None else weights[places]
        found = one(binary, features[places], classes, folds=cut, weights=own)
        weight[tag] = found.weight[1] - found.weight[0]
        bias[tag] = found.bias[1] - found.bias[0]
        strengths.append(found.strength)
        scores.append(
            found.scores.mean(axis=0, keepdims=True) if len(found.scores) else found.scores
        )
        if folds is not None:
            held[places, tag] = found.held_out[:, 1]
    if not strengths:
        raise DataError(
            "No tag has rows with it and rows without it, so there is nothing to learn. Add examples."
        )
    strength = float(np.exp(np.mean(np.log(strengths))))
    return Solution(weight, bias, strength, np.mean(scores, axis=0), held)


def _checked(features: Array, targets: Array, outputs: int) -> tuple[Array, Array, Array]:
    """Features, targets, and where these are known, (rows, outputs). Raises DataError."""
    features, targets = np.asarray(features), np.asarray(targets)
    if targets.shape != (len(features), outputs):
        raise DataError(
            f"Tags must be ({len(features)}, {outputs}); {targets.shape} came. Give one value for each "
            "row and tag."
        )
    known = np.isfinite(targets)
    if not np.isin(targets[known], (0, 1)).all():
        raise DataError("Tags must be 0, 1, or NaN where they are not known.")
    return features, targets, known


def _constant(classes: Array) -> tuple[float, float]:
    """Intercept and probability of a tag about which the rows tell only how frequent it is."""
    share = (classes.sum() + 0.5) / (len(classes) + 1)
    return math.log(share / (1 - share)), share


def _inside(folds: Sequence[Fold], places: Array, classes: Array) -> list[Fold]:
    """The folds among the known rows, those left out that would learn from one class or hold no row."""
    at = {int(place): number for number, place in enumerate(places)}
    found = []
    for fit, hold in folds:
        inner, outer = (
            np.array([at[int(i)] for i in part if int(i) in at]) for part in (fit, hold)
        )
        if len(outer) and len(inner) and len(np.unique(classes[inner])) == 2:
            found.append((inner, outer))
    return found
