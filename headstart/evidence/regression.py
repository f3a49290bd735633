"""R2, MAE and RMSE of predicted numbers, beside what a constant would score.

R2 = 1 - sum (y - f)^2 / sum (y - mean of test y)^2; MAE = mean |y - f|; RMSE = sqrt(mean (y - f)^2), all
as means over the arm's seeds. The constants, mean and median, come from the validation rows. Intervals:
standard errors over rows (or groups) by 2,000 bootstrap resamples, spread of seeds added, and t on the
log scale (of 1 - R2 for R2), so that no end leaves the possible range. Where no error occurred at all,
the upper end supposes a share of 3 / n rows (rule of three, Hanley and Lippman-Hand 1983) erring as much
as the constant does.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence import _resample
from headstart.evidence._interval import ordinal, scale_interval
from headstart.evidence._scores import outputs

NEEDS = ("validation",)
OUTCOMES = ("regress",)

_SHOWN = 400  # points of the scatter


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test rows."""
    told = outputs(case, case.arms["transfer"])
    targets = np.asarray(case.targets, dtype=np.float64)
    known = np.asarray(case.validation_targets, dtype=np.float64)
    measures = []
    missing: tuple[tuple[str, str], ...] = ()
    if len(known):
        fixed = {"mean": float(known.mean()), "median": float(np.median(known))}
        for name, value in fixed.items():
            constant = np.full((1, len(targets)), value)
            kept = (0, 2) if name == "mean" else (1,)
            found = _scores(case, constant, targets, name=f" of predicting the {name}")
            measures += [found[k] for k in kept]
    else:
        missing = (("scores of a constant", "there are no validation rows to take it from"),)
    baseline = "a constant from the validation rows" if len(known) else ""
    own = _scores(case, told, targets, name="", baseline=baseline)
    return Finding("regression", (*own, *measures), (_scatter(case, told, targets),), missing)


def _scores(
    case: Case, told: np.ndarray, targets: np.ndarray, *, name: str, baseline: str = ""
) -> list[Measure]:
    """R2, MAE, RMSE of predictions (seeds, rows), with intervals."""
    errors = told - targets[None, :]
    centred = targets - targets.mean()
    base = np.stack([np.ones(len(targets)), centred, centred**2], axis=1)
    columns = sparse.csr_matrix(np.concatenate([base, (errors**2).T, np.abs(errors).T], axis=1))
    seeds = len(told)

    def score(sums: np.ndarray) -> np.ndarray:
        rows = sums[:, :1]
        around = np.maximum(sums[:, 2:3] - sums[:, 1:2] ** 2 / rows, 0)
        squares, distances = sums[:, 3 : 3 + seeds], sums[:, 3 + seeds :]
        with np.errstate(divide="ignore", invalid="ignore"):
            unexplained = np.where(around > 0, squares / around, np.nan)
        return np.stack([unexplained, distances / rows, np.sqrt(squares / rows)], axis=2)

    groups = ordinal(case.groups)
    values, spreads, freedoms = _resample.spreads(columns, score, groups=groups, seed=case.seed)
    over = "test rows" if groups is None else "groups of test rows"
    method = f"mean of {seeds} seed(s); bootstrap over {over}, t on the log scale"
    size = len(targets) if groups is None else int(groups.max()) + 1
    worst = (1.0, float(np.abs(centred).mean()), float(centred.std()))
    measures = []
    for k, score_name in enumerate(("R2", "MAE", "RMSE")):
        low, high = scale_interval(float(values[k]), float(spreads[k]), df=float(freedoms[k]))
        if not values[k] > 0:
            high = worst[k] * min(1.0, 3.0 / size) ** (0.5 if score_name == "RMSE" else 1.0)
        value, unit = float(values[k]), "unit of the target"
        if score_name == "R2":
            value, low, high, unit = 1 - value, 1 - high, 1 - low, "R2"
        measures.append(
            Measure(score_name + name, value, low, high, len(targets), unit, baseline, method)
        )
    return measures


def _scatter(case: Case, told: np.ndarray, targets: np.ndarray) -> Exhibit:
    """True against predicted numbers (mean over seeds), at most 400 rows drawn by the case's seed."""
    rows = np.arange(len(targets))
    if len(rows) > _SHOWN:
        rows = np.sort(np.random.default_rng(case.seed).choice(rows, _SHOWN, replace=False))
    rows = rows[np.argsort(targets[rows], kind="stable")]
    data = {
        "x": targets[rows].tolist(),
        "y": told.mean(axis=0)[rows].tolist(),
        "rows": rows.tolist(),
        "x_label": "true",
        "y_label": "predicted",
        "diagonal": True,
        "points": True,
    }
    return Exhibit("predicted against true", "curve", "Predicted against true values", data)
