"""Multinomial logistic regression by preconditioned L-BFGS on stored logits.

Logits are linear in the weights, so a step along a direction needs no new pass over the rows: one
iteration costs one product forward (the direction's logits) and one back (the gradient), and the line
search costs only softmaxes. The preconditioner is the Hessian with its row weights averaged,
``A (x) diag(energy) + penalty``, where ``A`` is the mean over rows of ``diag(p) - p p'``: the idea of
Boehning's fixed bound ``0.5 (I - 11'/K) (x) X'X`` (Boehning 1992, Ann. Inst. Statist. Math. 44) with the
bound replaced by the present average. In a basis where ``X'X`` is diagonal its inverse costs two small
products, and from zero weights its first step is the exact Newton step. Memory follows Nocedal and Wright
(2006), algorithm 7.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MEMORY = 4  # pairs kept by L-BFGS; more cost time and saved no iterations
REFRESH = 4  # iterations between new preconditioners
TRIALS = 20  # lengths tried along a line
PATIENCE = 25  # iterations without a smaller gap before rounding is taken to be the floor


@dataclass(frozen=True)
class Rows:
    """Training rows of one softmax problem.

    Attributes:
        table: (rows, parts), the last column all ones; its dtype is the precision of the work.
        targets: (rows,) class of each row, int.
        classes: number of classes; each must occur in targets.
        weights: (rows,) in the dtype of table, positive, or None for ones.
        energy: (parts,) float64, ``sum_i w_i table_ij^2``; only a preconditioner.
    """

    table: Array
    targets: NDArray[np.intp]
    classes: int
    weights: Array | None
    energy: NDArray[np.float64]

    @property
    def mass(self) -> float:
        """Sum of the row weights."""
        return float(len(self.table)) if self.weights is None else float(self.weights.sum())


@dataclass(frozen=True)
class Point:
    """Weights (classes, parts) and their logits (classes, rows)."""

    weight: Array
    logits: Array

    def beyond(self, before: Point, share: float) -> Point:
        """The point reached by going on from `before` through self by `share` of that way."""
        return Point(
            self.weight + np.float32(share) * (self.weight - before.weight),
            self.logits + np.float32(share) * (self.logits - before.logits),
        )


def softmax(logits: Array) -> Array:
    """(classes, rows) logits to probabilities over the first axis."""
    shares = logits - logits.max(axis=0)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=0)
    return np.asarray(shares)


def at(rows: Rows, weight: Array) -> Point:
    """The point of given (classes, parts) weights; one pass over the rows."""
    weight = np.ascontiguousarray(weight, dtype=rows.table.dtype)
    return Point(weight, np.asarray(weight @ rows.table.T))


def origin(rows: Rows) -> Point:
    """Zero weights with the intercepts of the (weighted) class shares."""
    counts = np.bincount(rows.targets, weights=rows.weights, minlength=rows.classes)
    logs = np.log(counts / counts.sum()).astype(rows.table.dtype)
    weight = np.zeros((rows.classes, rows.table.shape[1]), rows.table.dtype)
    weight[:, -1] = logs - logs.mean()
    return Point(weight, np.repeat(weight[:, -1:], len(rows.table), axis=1))


def minimise(
    rows: Rows, penalty: float, start: Point, *, tolerance: float, limit: int = 1000
) -> Point:
    """Minimises ``sum_i w_i loss_i + 0.5 * penalty * ||W||^2``, the last part unpenalised.

    Args:
        rows: the training rows.
        penalty: 1 / C, positive.
        start: where to begin; neighbours on the path save most of the work.
        tolerance: stop when the estimated distance to the minimum, half the gradient times the quasi-Newton
            step, is at most this many nats per unit of row weight. Below about 1e-10 ask for float64 rows.
        limit: most iterations.

    Returns:
        The point reached; the same bits for the same input and number of BLAS threads.
    """
    ridge = np.full(rows.table.shape[1], penalty, rows.table.dtype)
    ridge[-1] = 0
    weight, logits = start.weight, start.logits
    shares = softmax(logits)
    slope = _gradient(rows, shares, weight, ridge)
    pairs: deque[tuple[Array, Array, float]] = deque(maxlen=MEMORY)
    least, waited = np.inf, 0
    for turn in range(limit):
        if turn % REFRESH == 0:
            invert = _preconditioner(rows, shares, ridge)
        way = _direction(slope, pairs, invert)
        fall = float(np.vdot(slope, way))
        gap = -0.5 * fall / rows.mass
        waited = 0 if gap < least else waited + 1
        least = min(gap, least)
        if gap <= tolerance or waited > PATIENCE:
            break
        along = way @ rows.table.T
        length, moved, shares = _search(
            rows, logits, shares, along, _Line.of(weight, way, fall, ridge)
        )
        if length == 0.0:
            break
        step = way.dtype.type(length) * way
        weight, logits = weight + step, moved
        fresh = _gradient(rows, shares, weight, ridge)
        change = fresh - slope
        curved = float(np.vdot(step, change))
        if curved > 0:
            pairs.append((step, change, 1.0 / curved))
        slope = fresh
    return Point(weight, logits)


def _gradient(rows: Rows, shares: Array, weight: Array, ridge: Array) -> Array:
    """(classes, parts) gradient at probabilities `shares`."""
    residual = shares.copy()
    residual[rows.targets, np.arange(len(rows.targets))] -= 1
    if rows.weights is not None:
        residual *= rows.weights
    return np.asarray(residual @ rows.table + ridge * weight)


def _preconditioner(rows: Rows, shares: Array, ridge: Array) -> Callable[[Array], Array]:
    """The inverse of ``A (x) diag(energy) + ridge`` on directions that sum to zero over classes."""
    scaled = shares if rows.weights is None else shares * rows.weights
    spread = -(scaled @ shares.T).astype(np.float64)
    spread[np.diag_indices(rows.classes)] += scaled.sum(axis=1)
    values, turn = np.linalg.eigh(spread / rows.mass)
    scale = np.maximum(values, 0.0)[:, None] * rows.energy + ridge
    usable = scale > 1e-9 * scale.max()
    inverse = np.where(usable, 1.0 / np.where(usable, scale, 1.0), 0.0).astype(shares.dtype)
    turn = turn.astype(shares.dtype)

    def apply(slope: Array) -> Array:
        back = turn @ (inverse * (turn.T @ slope))
        back -= np.add.reduce(back, axis=0) / back.dtype.type(rows.classes)
        return np.asarray(back)

    return apply


def _direction(
    slope: Array, pairs: deque[tuple[Array, Array, float]], invert: Callable[[Array], Array]
) -> Array:
    """The two-loop recursion; returns a descent direction (classes, parts)."""
    rest = slope.copy()
    shares = []
    for step, change, inverse in reversed(pairs):
        share = inverse * float(np.vdot(step, rest))
        rest -= slope.dtype.type(share) * change
        shares.append(share)
    way = invert(rest)
    for (step, change, inverse), share in zip(pairs, reversed(shares), strict=True):
        way += slope.dtype.type(share - inverse * float(np.vdot(change, way))) * step
    return -way


@dataclass(frozen=True)
class _Line:
    """What the penalty and the gradient say along one direction."""

    fall: float  # slope of the objective at zero, negative
    pull: float  # penalty's slope at zero
    bend: float  # penalty's curvature

    @classmethod
    def of(cls, weight: Array, way: Array, fall: float, ridge: Array) -> _Line:
        held = ridge * way
        return cls(fall, float(np.vdot(held, weight)), float(np.vdot(held, way)))


def _search(
    rows: Rows, logits: Array, shares: Array, along: Array, line: _Line
) -> tuple[float, Array, Array]:
    """A step that halves the slope along the line: a Newton guess, then secants and bisections.

    Returns the step's length, and the logits and probabilities there; length zero where rounding leaves
    nothing to gain.
    """
    weights = rows.weights
    column = along[rows.targets, np.arange(len(rows.targets))]
    known = float(column.sum() if weights is None else column @ weights)
    leant = shares * along
    mean = leant.sum(axis=0)
    bends = np.einsum("kn,kn->n", leant, along) - mean * mean
    curve = float(bends.sum() if weights is None else bends @ weights) + line.bend
    if not (line.fall < 0 and curve > 0):
        return 0.0, logits, shares
    low, low_slope, high = 0.0, line.fall, np.inf
    onward = -line.fall / curve
    for _ in range(TRIALS):
        length = onward
        moved = logits + along.dtype.type(length) * along
        there = softmax(moved)
        expected = np.einsum("kn,kn->n", there, along)
        total = float(expected.sum() if weights is None else expected @ weights)
        slope = total - known + line.pull + length * line.bend
        if abs(slope) <= 0.5 * abs(line.fall):
            break
        if slope > 0:
            high = length
            onward = low + (length - low) * max(0.1, min(0.9, low_slope / (low_slope - slope)))
        else:
            ahead = 4.0 if slope <= low_slope else min(4.0, low_slope / (low_slope - slope))
            low, low_slope, onward = length, slope, low + (length - low) * max(1.1, ahead)
            onward = 0.5 * (low + high) if onward >= high else onward
    return length, moved, there
