"""Forecasts: scaled and symmetric errors, the pinball loss, and what the bands hold, step by step.

With f the forecast of y, over all known steps of the test windows and all seeds: MASE = mean |y - f| / e,
e the error of the seasonal naive forecast one period ahead on the training part (Hyndman and Koehler 2006);
sMAPE = mean 2 |y - f| / (|y| + |f|) (Makridakis 1993); the pinball loss of the quantiles 5, 10, 25, 50, 75,
90 and 95 %, in units of e. The quantiles are the forecast plus conformal quantiles of held-out residuals,
step by step; the outer two are the band. Held-out windows overlap and are older than the test's, so the
coverage is observed, not promised. Windows that overlap are no independent rows: intervals are over
stretches of time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.core import forecast
from headstart.core.evidence import Arm, Case, Exhibit, Finding, Measure
from headstart.evidence._interval import ordinal
from headstart.evidence._paired import single
from headstart.evidence._scores import estimate, outputs

NEEDS = ("validation", "champion", "groups")
OUTCOMES = ("forecast",)

_STEPS = 12  # that a table shows
_DRAWN = (("A window of median error", 0.5), ("One in twenty is worse", 0.95))
_TINY = 1e-12


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test windows, and the scaled error of the others."""
    told, missing = outputs(case, case.arms["transfer"]), list[tuple[str, str]]()
    truth, level, spread, naive = forecast.parts(np.asarray(case.targets, np.float64))
    usable = np.isfinite(truth).any(axis=1) & np.isfinite(naive)
    if not usable.any():
        reason = "no test window has a known value and a series that moved in training"
        return Finding("forecast", missing=(("errors of the forecast", reason),))
    measures = [_scaled(case, case.arms["transfer"], "", usable)]
    measures += [_scaled(case, a, a.name, usable) for r, a in case.arms.items() if r != "transfer"]
    own = level[None, :, None], spread[None, :, None]
    actual, said = own[0] + own[1] * truth[None], own[0] + own[1] * told
    size = np.maximum(np.abs(actual) + np.abs(said), _TINY)
    rows = 2 * np.abs(actual - said) / size
    measures.append(_mean(case, rows, usable, ("sMAPE", "share", "")))
    past = forecast.parts(np.asarray(case.validation_targets, np.float64))[0]
    if len(past) < 2:
        missing.append(("bands", f"{len(past)} held-out windows to take residuals from"))
        return Finding("forecast", tuple(measures), (), tuple(missing))
    ends = forecast.residual_quantiles(np.asarray(case.validation_outputs), past)
    measures += _bands(case, told, truth, naive, ends, usable)
    low, high = told.mean(axis=0) + ends[:, 0], told.mean(axis=0) + ends[:, -1]
    errors = np.abs(told - truth[None]) / naive[None, :, None]
    table = _table(
        errors[:, usable], (truth >= low)[usable] & (truth <= high)[usable], truth[usable]
    )
    lines = tuple(v[:, None] * spread[:, None] + level[:, None] if v.ndim == 1 else
                  v * spread[:, None] + level[:, None]
                  for v in (told.mean(axis=0), low, high, truth))  # fmt: skip
    drawn = _drawn(np.where(usable, _rowwise(errors).mean(axis=0), np.nan), lines)
    return Finding("forecast", tuple(measures), (*drawn, table), tuple(missing))


def _rowwise(values: np.ndarray) -> np.ndarray:
    """(seeds, rows, steps) -> (seeds, rows), mean over known steps; 0 for none."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=2)
    return np.asarray(total / np.maximum(known.sum(axis=2), 1))


def _mean(
    case: Case,
    values: np.ndarray,
    usable: np.ndarray,
    about: tuple[str, str, str],
    *,
    group: str = "",
    share: bool = False,
) -> Measure:
    """A measure of (seeds, rows, steps); `about` is name, unit, baseline."""
    name, unit, baseline = about
    rows = _rowwise(values)[:, usable]
    groups = None if case.groups is None else ordinal(np.asarray(case.groups)[usable])
    typical = max(float(rows.mean()), _TINY)
    value, low, high, how = estimate(rows, groups, positive=not share, share=share, unit=typical)
    count = int(usable.sum())
    if single(groups):  # a single stretch of overlapping windows says nothing of others
        how = "mean; no interval, for all test windows lie in one stretch"
        return Measure(name, value, None, None, count, unit, baseline, how, group=group)
    how = how.replace("groups of test rows", "stretches of overlapping windows")
    return Measure(name, value, low, high, count, unit, baseline, how, group=group)


def _scaled(case: Case, arm: Arm, group: str, usable: np.ndarray) -> Measure:
    """MASE of an arm."""
    truth, _, _, naive = forecast.parts(np.asarray(case.targets, np.float64))
    errors = np.abs(outputs(case, arm) - truth[None]) / naive[None, :, None]
    about = ("MASE", "naive errors", "seasonal naive, in training")
    return _mean(case, errors, usable, about, group=group)


def _bands(
    case: Case,
    told: np.ndarray,
    truth: np.ndarray,
    naive: np.ndarray,
    ends: np.ndarray,
    usable: np.ndarray,
) -> list[Measure]:
    """Pinball loss of all quantiles; coverage and width of the 90 % band."""
    loss = np.zeros_like(told)
    for place, level in enumerate(forecast.LEVELS):
        above = truth[None] - told - ends[:, place]
        loss += np.maximum(level * above, (level - 1) * above) / len(forecast.LEVELS)
    unknown = np.isnan(truth)
    inside = (truth >= told + ends[:, 0]) & (truth <= told + ends[:, -1])
    held = np.where(unknown, np.nan, inside.astype(np.float64))
    width = np.broadcast_to(ends[:, -1] - ends[:, 0], told.shape)
    scale = naive[None, :, None]
    share = f"{forecast.WANTED:.0%}".replace("%", " %")
    return [
        _mean(case, loss / scale, usable, ("pinball loss", "naive errors", "")),
        _mean(case, held, usable, (f"coverage of {share} bands", "share", "0.9"), share=True),
        _mean(case, width / scale, usable, (f"mean width of {share} bands", "naive errors", "")),
    ]


def _table(errors: np.ndarray, inside: np.ndarray, truth: np.ndarray) -> Exhibit:
    """Scaled error and coverage of some steps ahead."""
    horizon = truth.shape[1]
    steps = np.unique(np.linspace(0, horizon - 1, min(horizon, _STEPS)).round().astype(int))
    names, rows = forecast.names(horizon), list[list[Any]]()
    for step in steps:
        known = np.isfinite(truth[:, step])
        if known.any():
            error = float(errors[:, known, step].mean())
            share = float(inside[known, step].mean())
            rows.append([names[step], int(known.sum()), round(error, 4), round(share, 4)])
    columns = ["step", "windows", "MASE", "share in the band"]
    title = f"Step by step ({len(rows)} of {horizon} steps)"
    return Exhibit("steps ahead", "table", title, {"columns": columns, "rows": rows})


def _drawn(errors: np.ndarray, lines: tuple[np.ndarray, ...]) -> list[Exhibit]:
    """Windows of a typical and of a large error, with band and truth, in the person's units."""
    order = np.argsort(errors, kind="stable")
    order = order[np.isfinite(errors[order])]
    made, seen = [], set[int]()
    for title, share in _DRAWN:
        row = int(order[round(share * (len(order) - 1))])
        if row in seen:
            continue
        seen.add(row)
        said, low, high, actual = (line[row] for line in lines)
        data = {
            "x": list(range(1, len(said) + 1)),
            "y": [float(v) for v in said],
            "low": [float(v) for v in low],
            "high": [float(v) for v in high],
            "beside": [float(v) if np.isfinite(v) else None for v in actual],
            "beside_label": "what came",
            "x_label": "steps ahead",
            "y_label": "forecast with its band",
            "row": row,
        }
        name = f"forecast at the {share:.0%} quantile of errors"
        made.append(Exhibit(name, "curve", title, data))
    return made
