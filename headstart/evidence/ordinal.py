"""Ordered levels: mean absolute error in levels, quadratic weighted kappa, accuracy, levels taken for others.

What is told is the median of the predicted distribution. Kappa (Cohen 1968) with squared distances is 1 less
the mean squared distance between told and true level in units of what it would be if both were drawn apart:
1 - sum (t - p)^2 / sum (t^2 + p^2 - 2 mean t mean p); it has no form per row, so its standard error is
that of 2,000 bootstrap resamples of rows (or groups), the spread of seeds added, and the interval t on the
log scale of 1 - kappa. Every number is the mean over the arm's seeds. Beside the error stands that of
always telling the median level of the validation rows.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from headstart.core.evidence import Arm, Case, Finding, Measure
from headstart.core.ordinal import median
from headstart.evidence import _resample
from headstart.evidence._interval import ordinal as numbered
from headstart.evidence._interval import scale_interval
from headstart.evidence._scores import confusion, estimate, outputs

NEEDS = ("validation",)
OUTCOMES = ("ordinal",)

_ERROR, _KAPPA = "mean absolute error", "quadratic weighted kappa"
_MOST = 100  # levels that a matrix can show


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test rows, and the error of every other one."""
    targets = np.asarray(case.targets).astype(np.int64)
    told = median(outputs(case, case.arms["transfer"]))
    missing: list[tuple[str, str]] = []
    measures = [_error(case, told, targets)]
    known = np.asarray(case.validation_targets).astype(np.int64)
    if len(known):
        fixed = np.full((1, len(targets)), int(np.median(known)))
        name = f"{_ERROR} of always telling '{case.classes[fixed[0, 0]]}'"
        measures.append(_error(case, fixed, targets, name=name))
    else:
        missing.append(("error of a constant", "there are no validation rows to take it from"))
    measures += _kappas(case, case.arms["transfer"], targets, missing, group="")
    right = (told == targets[None, :]).astype(np.float64)
    measures.append(_share(case, "accuracy", right))
    if len(case.classes) > 2:
        near = (np.abs(told - targets[None, :]) <= 1).astype(np.float64)
        measures.append(_share(case, "at most one level off", near))
    for arm in case.arms.values():
        measures.append(
            _error(case, median(outputs(case, arm)), targets, name=_ERROR, group=arm.name)
        )
        measures += _kappas(case, arm, targets, missing, group=arm.name)
    if len(case.classes) > _MOST:
        missing.append(("which levels were taken for which", f"more than {_MOST} levels"))
        return Finding("ordinal", tuple(measures), (), tuple(missing))
    return Finding("ordinal", tuple(measures), (confusion(case, told, targets),), tuple(missing))


def _error(
    case: Case, told: np.ndarray, targets: np.ndarray, *, name: str = _ERROR, group: str = ""
) -> Measure:
    """Mean distance between told (seeds, rows) and true levels."""
    far = np.abs(told - targets[None, :]).astype(np.float64)
    value, low, high, method = estimate(far, numbered(case.groups), positive=True)
    return Measure(name, value, low, high, len(targets), "levels", "", method, group=group)


def _share(case: Case, name: str, found: np.ndarray) -> Measure:
    value, low, high, method = estimate(found, numbered(case.groups), share=True)
    return Measure(name, value, low, high, found.shape[1], "share", "", method)


def _kappas(
    case: Case, arm: Arm, targets: np.ndarray, missing: list[tuple[str, str]], *, group: str
) -> list[Measure]:
    """Kappa of an arm; none where told and true levels are all the same one."""
    told = median(outputs(case, arm))
    seeds, true = len(told), targets.astype(np.float64)
    base = np.stack([np.ones(len(true)), true, true**2], axis=1)
    columns = np.concatenate([base, told.T, (told**2).T, (told * true[None, :]).T], axis=1)

    def unexplained(sums: np.ndarray) -> np.ndarray:
        """Squared distance in units of that by chance: (repeats, seeds, 1)."""
        rows, first, square = sums[:, :1], sums[:, 1:2], sums[:, 2:3]
        own, squares, products = np.split(sums[:, 3:], 3, axis=1)
        both = square + squares
        chance = both - 2 * first * own / rows
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(chance > 1e-9, (both - 2 * products) / chance, np.nan)
        return np.asarray(found)[:, :, None]

    groups = numbered(case.groups)
    values, errors, freedoms = _resample.spreads(
        sparse.csr_matrix(columns), unexplained, groups=groups, seed=case.seed
    )
    value = float(values[0])
    if not np.isfinite(value):
        missing.append((_KAPPA, f"'{arm.name}' and the test rows have one level only"))
        return []
    low, high = scale_interval(value, float(errors[0]), df=float(freedoms[0]))
    units = len(targets) if groups is None else int(groups.max()) + 1
    if not value > 0:
        high = min(1.0, 3.0 / units)
    over = "test rows" if groups is None else "groups of test rows"
    method = f"mean of {seeds} seed(s); bootstrap over {over}, t on the log scale of 1 - kappa"
    ends = (1 - value, max(-1.0, 1 - high), 1 - low)
    return [Measure(_KAPPA, *ends, len(targets), "", "", method, group=group)]
