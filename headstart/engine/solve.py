"""The convex problem of a linear head on stored features: all strengths and all folds together.

Choosing the strength by cross-validation should cost about as much as one fit. Four things make it so:

- **A basis in which the features' scatter is diagonal**, or nearly: the row space of the training part when
  rows are few (the L2 penalty keeps the solution in it, the intercept stays outside), otherwise one
  rotation, shared by all folds. There the preconditioner of `engine/newton.py` costs next to nothing.
- **The path.** Strengths are solved from strong to weak regularisation, each from the line through the
  two solutions before it.
- **Only contenders are finished.** Every strength is solved roughly; those whose mean score lies within the
  error of the best are solved ever more tightly, until one is left; it alone is solved to the end.
- **One BLAS thread per fold, folds side by side**: thin products gain nothing from many threads, and
  the result does not depend on the number of cores.

Ridge takes one eigendecomposition per fold for all strengths.

Memory beyond the features, in bytes, with parts = width, or rows where they are fewer than
0.6 width: ``8 * width^2 + min(1 GiB, 4 * folds * rows * parts) + 4 * folds * strengths *
outputs * parts``, and for each fold at work (at most one per core)
``12 * rows * width + 32 * rows * outputs``. 5,000 rows of 2,048, 150 classes, 10 strengths and 5
folds on two cores: 0.6 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from headstart.core import machine
from headstart.core.problem import Problem, Scoring, Solution
from headstart.engine import newton, ridge, sigmoids, temperature
from headstart.engine.basis import Basis, Scaling, Standard, rotated, row_space
from headstart.errors import DataError, PlanError

Array = NDArray[Any]
Fold = tuple[Array, Array]
T = TypeVar("T")
U = TypeVar("U")

STEPS = (3e-4, 1e-5, 1e-7)  # nats of training loss per row above the minimum, rough to tight
WORTH = (
    3_000_000  # rows * parts * outputs above which threads gain more than they wait for each other
)
HELD = 1e-8  # the chosen strength's folds, float32
FINAL = 1e-12  # the chosen strength's last fit, float64
CAUTION = 3.0  # margin of contention, in root-mean-square errors of the score
ONWARD = 1.0  # how far the path is followed beyond the last two solutions
ROW_SPACE = 0.6  # below this many rows per feature the row space is the cheaper basis
KEEP = 1 << 30  # bytes of rotated folds kept between passes; beyond, they are rotated again
NEVER = -100.0  # logit of a class without a row

_POOLS = ThreadpoolController()


def solve(
    problem: Problem,
    features: Array,
    targets: Array,
    *,
    folds: Sequence[Fold] | None,
    standardise: Standard = "each",
    scoring: Scoring = "log_loss",
    weights: Array | None = None,
) -> Solution:
    """Solves a linear head, choosing its strength by cross-validation.

    Args:
        problem: loss, outputs, strengths.
        features: (rows, width) float32 or float64, finite.
        targets: softmax: (rows,) classes from 0 to outputs - 1; squares: (rows,) or (rows, outputs);
            sigmoids: (rows, outputs) of 0 and 1, NaN where not known.
        folds: pairs of row numbers (training, validation) that share none; None with a single strength
            is a plain fit.
        standardise: divide by the standard deviation over the fold's training part, of "each" column
            (constant ones by one) or the root mean square over the "whole"; "none". The mean needs no
            choice: the intercept is free.
        scoring: of a strength, see `core.problem.Scoring`; ridge is always scored by squares. Where
            several strengths tie in the mean over folds, the strongest regularisation wins.
        weights: (rows,) positive row weights, multiplied by the class weights where balanced.

    Returns:
        The head fitted on all rows at the chosen strength (softmax: to 1e-12 nats per row above the
        minimum, then times the sharpness that ``tempered`` found), with scores and out-of-fold
        predictions (1e-8). Scores of strengths out of contention are read from solutions within 3e-4 nats
        of training loss per row of the minimum: their order among themselves is not certain at weak
        regularisation. The same input gives the same bits.

    Raises:
        DataError: values, shapes or rows that cannot be used.
        PlanError: settings that contradict each other.
    """
    if problem.loss == "sigmoids":
        one = partial(solve, standardise=standardise, scoring=scoring)
        return sigmoids.solve(one, problem, features, targets, folds, weights)
    features, targets, weights = _checked(problem, features, targets, weights)
    parts = _checked_folds(problem, folds, len(features))
    if problem.loss == "squares" and scoring == "accuracy":
        raise PlanError("A squares head has no accuracy; score it by 'squares'.")
    with _POOLS.limit(limits=1, user_api="blas"):
        if problem.loss == "squares":
            return _solve_squares(problem, features, targets, parts, standardise, weights)
        return _Softmax(problem, features, targets, parts, standardise, scoring, weights).solve()


# What came in


def _checked(
    problem: Problem, features: Array, targets: Array, weights: Array | None
) -> tuple[Array, Array, Array | None]:
    features = np.asarray(features)
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(f"Features must be (rows, width), both at least 1; got {features.shape}.")
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float32)
    if not np.isfinite(features.sum(dtype=np.float64)) and not np.isfinite(features).all():
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise DataError(
            f"{len(bad)} of {len(features)} feature rows hold NaN or infinity, first row {bad[0]}; "
            "set these rows aside, or recompute their features."
        )
    targets = np.asarray(targets)
    if len(targets) != len(features):
        raise DataError(f"{len(features)} feature rows but {len(targets)} targets; give one each.")
    targets = (_classes if problem.loss == "softmax" else _numbers)(problem, targets)
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(features),) or not (np.isfinite(weights) & (weights > 0)).all():
            raise DataError(f"Weights must be {len(features)} positive finite numbers.")
    return features, targets, weights


def _classes(problem: Problem, targets: Array) -> Array:
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise DataError(
            f"Classes must be whole numbers (rows,), got {targets.dtype} {targets.shape}."
        )
    if targets.min() < 0 or targets.max() >= problem.outputs:
        raise DataError(
            f"Classes must lie in 0 to {problem.outputs - 1}, got {targets.min()} to {targets.max()}."
        )
    if targets.min() == targets.max():
        raise DataError(
            f"All rows have class {targets[0]}; a classifier needs at least two classes."
        )
    return targets.astype(np.intp)


def _numbers(problem: Problem, targets: Array) -> Array:
    numbers = targets.astype(np.float64).reshape(len(targets), -1)
    if numbers.shape[1] != problem.outputs:
        raise DataError(f"Expected {problem.outputs} targets a row, got {numbers.shape[1]}.")
    if not np.isfinite(numbers).all():
        raise DataError("Targets hold NaN or infinity; set these rows aside.")
    return numbers


def _checked_folds(problem: Problem, folds: Sequence[Fold] | None, rows: int) -> list[Fold]:
    if folds is None:
        if len(problem.strengths) > 1:
            raise PlanError(
                f"{len(problem.strengths)} strengths need folds to choose by; none came."
            )
        return []
    checked = []
    for number, fold in enumerate(folds):
        train, valid = (np.asarray(part, dtype=np.intp) for part in fold)
        for part in (train, valid):
            if part.ndim != 1 or not len(part) or part.min() < 0 or part.max() >= rows:
                raise DataError(f"Fold {number} must name rows 0 to {rows - 1} in both its parts.")
        shared = np.intersect1d(train, valid)
        if len(shared):
            raise DataError(f"Fold {number} trains and validates on {len(shared)} same rows.")
        checked.append((train, valid))
    if not checked:
        raise DataError("The list of folds is empty; give at least one, or None for a plain fit.")
    return checked


def _side_by_side(work: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """`work` on each item, one thread per core; results in order."""
    things = list(items)
    if len(things) < 2:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(min(len(things), machine.cores())) as pool:
        return list(pool.map(work, things))


# Softmax


class _Softmax:
    """One softmax problem at work: folds, their path solutions, and the refinement of contenders."""

    def __init__(
        self,
        problem: Problem,
        features: Array,
        targets: Array,
        folds: list[Fold],
        standardise: Standard,
        scoring: Scoring,
        weights: Array | None,
    ) -> None:
        self.problem, self.features, self.targets = problem, features, targets
        self.folds, self.standardise, self.scoring, self.weights = (
            folds,
            standardise,
            scoring,
            weights,
        )
        self.order = np.argsort(problem.strengths, kind="stable")  # strong regularisation first
        rows, width = features.shape
        self.turn: Array | None = None
        if rows >= ROW_SPACE * width:
            inside = Scaling.of(features, standardise).apply(features)
            self.turn = np.linalg.eigh((inside.T @ inside).astype(np.float64))[1]
        parts = width if self.turn is not None else rows
        self.keep = 4 * len(folds) * rows * parts <= KEEP
        self.bases: dict[int, Basis] = {}
        self.paths: dict[int, list[Array]] = {}
        self.blur = np.zeros((len(folds), len(problem.strengths)))  # mean squared residual
        self.sharpness = np.ones(len(problem.strengths))

    def solve(self) -> Solution:
        if not self.folds:
            weight, bias = self._fit(0, [])
            scores, held = np.empty((0, 1)), np.empty((0, self.problem.outputs), np.float32)
            return self._solution(weight, bias, 0, scores, held)
        chosen, scores, held = self._contest()
        starts = [
            self._basis(number).unfold(self._whole(number, path[chosen]))
            for number, path in sorted(self.paths.items())
        ]
        self.bases.clear()
        weight, bias = self._fit(chosen, starts)
        return self._solution(weight, bias, chosen, scores, held)

    def _contest(self) -> tuple[int, Array, Array]:
        """Chooses among strengths; returns the choice, all scores and the out-of-fold probabilities."""
        contenders = list(range(len(self.problem.strengths)))
        scores = np.full((len(self.folds), len(contenders)), np.nan)
        for tolerance in STEPS:
            if len(contenders) == 1:
                break
            earlier = scores.mean(axis=0)
            self._round(contenders, tolerance, scores)
            contenders = self._near_best(contenders, tolerance, scores, earlier)
        best = contenders[0] if len(contenders) == 1 else self._best(scores, contenders)
        predicted = self._round([best], HELD, scores)
        held = _gathered(predicted, self.folds, (len(self.features), self.problem.outputs))
        return best, scores, held

    def _round(self, contenders: list[int], tolerance: float, scores: Array) -> list[Array]:
        """Advances all folds and fills in their scores; returns each fold's first probabilities."""

        def work(number: int) -> list[Array]:
            return self._advance(number, contenders, tolerance)

        numbers = range(len(self.folds))
        cells = len(self.features) * min(self.features.shape) * self.problem.outputs
        predicted = _side_by_side(work, numbers) if cells > WORTH else [work(n) for n in numbers]
        if self.scoring == "tempered":
            predicted = self._tempered(contenders, predicted)
        for number, fold in enumerate(predicted):
            answers = self.targets[self.folds[number][1]]
            for place, shares in zip(contenders, fold, strict=True):
                scores[number, place] = _score(shares, answers, self.scoring)
                self.blur[number, place] = _residual(shares, answers)
        return [fold[0] for fold in predicted]

    def _tempered(self, contenders: list[int], predicted: list[list[Array]]) -> list[list[Array]]:
        """The folds' probabilities, each strength with the temperature that suits all its folds."""
        answers = np.concatenate([self.targets[valid] for _, valid in self.folds])
        for nth, place in enumerate(contenders):
            every = np.concatenate([fold[nth] for fold in predicted])
            self.sharpness[place] = temperature.fit(every, answers)
        return [
            [
                temperature.sharpened(shares, self.sharpness[place])
                for place, shares in zip(contenders, fold, strict=True)
            ]
            for fold in predicted
        ]

    def _near_best(
        self, contenders: list[int], tolerance: float, scores: Array, earlier: Array
    ) -> list[int]:
        """Those whose mean score may still prove the best once solved exactly.

        An error of `tolerance` in the loss moves logits by about ``sqrt(2 * tolerance)`` and the score by
        that times the residual (Cauchy-Schwarz); where the last round moved scores further, by that.
        """
        means = scores.mean(axis=0)
        best = self._best(scores, contenders)
        margin = CAUTION * np.sqrt(2 * tolerance * self.blur[:, best].mean())
        moved = np.abs(means - earlier)[contenders]
        if np.isfinite(moved).all():
            margin = max(margin, float(moved.max()))
        return [place for place in contenders if means[place] >= means[best] - margin]

    def _best(self, scores: Array, contenders: list[int]) -> int:
        means = scores.mean(axis=0)
        ranked = [place for place in self.order if place in contenders]
        top = max(means[place] for place in ranked)
        return int(next(place for place in ranked if means[place] >= top - 1e-12))

    def _advance(self, number: int, contenders: list[int], tolerance: float) -> list[Array]:
        """Solves the contenders of one fold; returns their (held-out rows, outputs) probabilities."""
        basis = self._basis(number)
        train, valid = self.folds[number]
        present, rows = self._rows(basis.train, train)
        known = self.paths.get(number)
        path: list[Array] = known or [np.empty(0)] * len(self.problem.strengths)
        before: list[newton.Point] = []
        for place in (place for place in self.order if place in contenders):
            start = newton.at(rows, path[place]) if known else _onward(rows, before)
            if rows.classes > 1:
                point = newton.minimise(rows, self._penalty(place), start, tolerance=tolerance)
            else:
                point = start
            before = [*before[-1:], point]
            path[place] = point.weight
        self.paths[number] = path
        out = []
        for place in contenders:
            shares = np.zeros((len(valid), self.problem.outputs))
            logits = (path[place] @ basis.valid.T).astype(np.float64)
            shares[:, present] = newton.softmax(logits).T
            out.append(shares)
        return out

    def _basis(self, number: int) -> Basis:
        if number in self.bases:
            return self.bases[number]
        train, valid = self.folds[number]
        basis = self._reduced(self.features[train], self.features[valid])
        if self.keep:
            self.bases[number] = basis
        return basis

    def _reduced(self, train: Array, valid: Array) -> Basis:
        scaling = Scaling.of(train, self.standardise)
        if self.turn is None:
            return row_space(train, valid, scaling)
        return rotated(train, valid, scaling, self.turn)

    def _rows(self, table: Array, train: Array | slice) -> tuple[Array, newton.Rows]:
        """Classes present (ascending), and the training rows with targets numbered among them."""
        present, numbered = np.unique(self.targets[train], return_inverse=True)
        weights = None if self.weights is None else self.weights[train]
        if self.problem.balanced:
            counts = np.bincount(numbered)
            shares = (len(numbered) / (len(present) * counts))[numbered]
            weights = shares if weights is None else shares * weights
        energy = np.einsum("ij,ij->j", table, table, optimize=False).astype(np.float64)
        if weights is not None:
            energy *= weights.mean()
            weights = weights.astype(table.dtype)
        return present, newton.Rows(table, numbered, len(present), weights, energy)

    def _penalty(self, place: int) -> float:
        doubled = (
            2.0 if self.problem.outputs == 2 else 1.0
        )  # one vector for both classes, as scikit-learn
        return doubled / self.problem.strengths[place]

    def _whole(self, number: int, weight: Array) -> Array:
        """A fold's weights with a row of zeros for each class that its training part lacks."""
        whole = np.zeros((self.problem.outputs, weight.shape[1]))
        whole[np.unique(self.targets[self.folds[number][0]])] = weight
        return whole

    def _fit(self, place: int, starts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
        """All rows at one strength, from the mean of the folds' solutions: float32, then float64."""
        basis = self._reduced(self.features, self.features[:0])
        present, rows = self._rows(basis.train, slice(None))
        penalty = self._penalty(place)
        start = newton.origin(rows)
        if starts:
            plain, bias = (np.mean([pair[side] for pair in starts], axis=0) for side in (0, 1))
            start = newton.at(rows, basis.fold(plain, bias)[present])
        point = newton.minimise(rows, penalty, start, tolerance=1e-9)
        _, fine = self._rows(basis.train.astype(np.float64), slice(None))
        point = newton.minimise(fine, penalty, newton.at(fine, point.weight), tolerance=FINAL)
        weight = np.zeros((self.problem.outputs, self.features.shape[1]))
        bias = np.full(self.problem.outputs, NEVER)
        weight[present], bias[present] = basis.unfold(point.weight)
        return weight, bias

    def _solution(
        self, weight: Array, bias: Array, place: int, scores: Array, held: Array
    ) -> Solution:
        strength, sharpness = float(self.problem.strengths[place]), self.sharpness[place]
        weight = sharpness * weight.astype(np.float64)
        bias = np.where(bias == NEVER, NEVER, sharpness * bias.astype(np.float64))
        return Solution(weight.astype(np.float32), bias.astype(np.float32), strength, scores, held)


def _onward(rows: newton.Rows, before: list[newton.Point]) -> newton.Point:
    if not before:
        return newton.origin(rows)
    return before[-1] if len(before) == 1 else before[1].beyond(before[0], ONWARD)


def _gathered(predicted: list[Array], folds: list[Fold], shape: tuple[int, int]) -> Array:
    """Means of the folds' predictions per row (rows, outputs) float32; NaN where there is none."""
    total, times = np.zeros(shape), np.zeros(shape[0])
    for values, (_, valid) in zip(predicted, folds, strict=True):
        np.add.at(total, valid, values)
        np.add.at(times, valid, 1)
    with np.errstate(invalid="ignore"):
        return (total / times[:, None]).astype(np.float32)


def _score(shares: Array, answers: Array, scoring: Scoring) -> float:
    """Score of (rows, outputs) probabilities, higher is better."""
    if scoring == "accuracy":
        return float((shares.argmax(axis=1) == answers).mean())
    if scoring == "squares":
        return -_residual(shares, answers)
    given = shares[np.arange(len(answers)), answers]
    return float(np.log(np.maximum(given, np.finfo(np.float64).eps)).mean())


def _residual(shares: Array, answers: Array) -> float:
    """Mean over rows of the squared distance from probabilities to the one-hot answer, 0 to 2."""
    given = shares[np.arange(len(answers)), answers]
    return float((np.einsum("ij,ij->i", shares, shares) - 2 * given + 1).mean())


# Squares


def _solve_squares(
    problem: Problem,
    features: Array,
    targets: Array,
    folds: list[Fold],
    standardise: Standard,
    weights: Array | None,
) -> Solution:
    alphas = [1.0 / strength for strength in problem.strengths]

    def fit(train: Array | slice, wanted: list[float]) -> list[tuple[Array, Array]]:
        part = None if weights is None else weights[train]
        return ridge.path(features[train], targets[train], wanted, standardise, part)

    def work(fold: Fold) -> list[Array]:
        outside = features[fold[1]].astype(np.float64)
        return [outside @ weight.T + bias for weight, bias in fit(fold[0], alphas)]

    chosen, scores = 0, np.empty((0, 1))
    held = np.empty((0, problem.outputs), np.float32)
    if folds:
        predicted = _side_by_side(work, folds)
        scores = np.array(
            [
                [-float(((values - targets[valid]) ** 2).mean()) for values in fold]
                for fold, (_, valid) in zip(predicted, folds, strict=True)
            ]
        )
        means = scores.mean(axis=0)
        tied = np.flatnonzero(means >= means.max() - 1e-12 * abs(means.max()))
        chosen = int(min(tied, key=lambda place: problem.strengths[place]))
        held = _gathered(
            [fold[chosen] for fold in predicted], folds, (len(features), problem.outputs)
        )
    weight, bias = fit(slice(None), [alphas[chosen]])[0]
    strength = float(problem.strengths[chosen])
    return Solution(weight.astype(np.float32), bias.astype(np.float32), strength, scores, held)
