"""Outputs of an arm as scores per row, higher better; and the shapes that every check may rely on."""

from __future__ import annotations

import numpy as np

from headstart.core.evidence import Arm, Case, Exhibit
from headstart.core.ragged import fitted
from headstart.errors import ContractError
from headstart.evidence import _paired
from headstart.evidence._interval import LEVEL, scale_interval, share_interval, wilson


def outputs(case: Case, arm: Arm) -> np.ndarray:
    """The arm's outputs, checked: (seeds, rows, classes); where there are no classes (seeds, rows), or
    (seeds, rows, steps) for targets of several numbers a row; of positions (seeds, rows, positions,
    classes) with as many positions as the targets, NaN behind the end.

    Raises:
        ContractError: the shape does not fit targets and classes, or a value is not finite.
    """
    found = np.asarray(arm.outputs, dtype=np.float64)
    rows = len(case.targets)
    tail: tuple[int, ...] = (rows, len(case.classes)) if case.classes else (rows,)
    truth = np.asarray(case.targets)
    if not case.classes and truth.ndim == 2:
        tail = (rows, *found.shape[2:3])
    each = bool(case.classes) and truth.ndim == 2 and truth.dtype.kind == "i"
    if each and found.ndim == 4:
        tail = (rows, truth.shape[1], len(case.classes))
        found = fitted(found, truth.shape[1])
    if found.ndim != len(tail) + 1 or found.shape[1:] != tail or found.shape[0] < 1 or rows < 1:
        raise ContractError(
            f"Arm '{arm.name}' has outputs of shape {found.shape}; expected (seeds, "
            f"{', '.join(map(str, tail))}) for outcome '{case.outcome}'. "
            f"Hand over one output per seed and test row."
        )
    behind = np.isnan(found).all(axis=-1, keepdims=True) if each else False
    if not (np.isfinite(found) | behind).all():
        raise ContractError(
            f"Arm '{arm.name}' has outputs that are not finite; set such rows aside before the test."
        )
    return found


def predictions(case: Case, arm: Arm) -> np.ndarray:
    """Most probable class per seed and row, (seeds, rows) of class numbers."""
    return np.asarray(outputs(case, arm).argmax(axis=2))


def confusion(case: Case, told: np.ndarray, targets: np.ndarray) -> Exhibit:
    """Counts by true class (row) and predicted class (column); means over seeds."""
    classes = len(case.classes)
    codes = (targets[None, :] * classes + told).ravel()
    counts = np.bincount(codes, minlength=classes**2).reshape(classes, classes) / len(told)
    shown = np.round(counts, 2).tolist() if len(told) > 1 else counts.astype(int).tolist()
    seeds = "" if len(told) == 1 else f", mean of {len(told)} seeds"
    data = {"labels": list(case.classes), "counts": shown, "rows": "true", "columns": "predicted"}
    return Exhibit("confusion", "matrix", f"What was taken for what{seeds}", data)


def scores(case: Case, arm: Arm) -> np.ndarray:
    """Score per seed and row, (seeds, rows), whose mean over rows is the arm's score."""
    return case.score.rows(outputs(case, arm), np.asarray(case.targets))


def alike(found: np.ndarray) -> bool:
    """Whether all seeds (first axis) gave the very same outputs."""
    return np.array_equal(found, np.broadcast_to(found[:1], found.shape), equal_nan=True)


def estimate(
    found: np.ndarray,
    groups: np.ndarray | None,
    *,
    share: bool = False,
    positive: bool = False,
    unit: float = 1.0,
    level: float = LEVEL,
) -> tuple[float, float, float, str]:
    """Mean of row scores with its interval over seeds and rows: value, low, high, method.

    Args:
        found: (seeds, rows) scores.
        groups: (rows,) numbers from 0 of the rows' groups, or None.
        share: the scores lie between 0 and 1, so Wilson's form is used.
        positive: the scores are above 0, so the interval is symmetric on the log scale.
        unit: by how much a row would differ, where none is seen to differ: then the ends suppose a
            share of 3 / size rows doing so (rule of three, Hanley and Lippman-Hand 1983).
    """
    seeds, rows = found.shape
    spread = _paired.mean(found, groups)
    if share and seeds == 1 and groups is None:
        low, high = wilson(spread.value, rows, level=level)
        return spread.value, low, high, "one seed; Wilson interval over test rows"
    over = "test rows" if groups is None else f"{spread.size} groups of test rows"
    over = over if seeds == 1 else f"{seeds} seeds and {over}"
    if share:
        low, high = share_interval(
            spread.value, spread.error**2, size=spread.size, rows=rows, df=spread.df, level=level
        )
        return (
            spread.value,
            low,
            high,
            f"mean; interval over {over}, Wilson's form at the effective size",
        )
    if not spread.error > 1e-12 * abs(spread.value):
        rise = unit * min(1.0, 3.0 / spread.size)
        low, high = spread.value - rise, spread.value + rise
        how = f"mean; all rows alike, so ends by the rule of three over {over}"
        return spread.value, max(0.0, low) if positive else low, high, how
    if positive:
        low, high = scale_interval(spread.value, spread.error, df=spread.df, level=level)
        return spread.value, low, high, f"mean; interval over {over}, t on the log scale"
    low, high = spread.interval(level)
    return spread.value, low, high, f"mean; interval over {over}, Satterthwaite t"
