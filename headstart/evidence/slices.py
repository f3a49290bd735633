"""The score in every part of the test rows that a metadata column names.

classify, answer: the outcome's own score; regress: mean absolute error, in the target's unit; ordinal: the
same in levels; as means over seeds. Columns with 2 to 12 values are looked at, and parts with at least 10
rows. Who looks at K parts finds one that looks bad by chance: each part's interval, and that of its gap to
all other rows, is at level 1 - 0.05 / K (Bonferroni; Dunn 1961), so that all of them hold together with 95
%. The standard error of the gap covers seeds and rows (or groups), linearised over both sides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.core.ordinal import median
from headstart.evidence import _paired
from headstart.evidence._interval import ordinal, quantile
from headstart.evidence._scores import estimate, outputs, scores

NEEDS = ()
OUTCOMES = ("classify", "regress", "ordinal", "answer")

_MOST_VALUES = 12
_FEWEST_ROWS = 10


def check(case: Case) -> Finding:
    """Scores the transfer arm in every part that is large enough."""
    found = _row_scores(case)
    parts, missing = _parts(case)
    if not parts:
        missing.append(("scores of parts", "no metadata column names parts that are large enough"))
        return Finding("slices", missing=tuple(missing))
    level = 1 - 0.05 / len(parts)
    count = Measure(
        "parts looked at",
        len(parts),
        None,
        None,
        len(case.targets),
        "parts",
        "",
        f"counted; intervals of parts at level {level:.4f} (Bonferroni), so that all hold together "
        "with 95 %",
    )
    measures: list[Measure] = [count]
    rows: list[list[Any]] = []
    for name, inside in parts.items():
        score, gap = _score(case, found, inside, name=name, level=level)
        measures += [score, gap]
        rows.append(
            [name, score.n, score.value, score.low, score.high, gap.value, gap.low, gap.high]
        )
    worse = 1 if case.score.share else -1
    rows.sort(key=lambda row: worse * float(row[5]))
    columns = [
        "part",
        "rows",
        measures[1].name,
        "low",
        "high",
        "gap to other rows",
        "gap low",
        "gap high",
    ]
    title = f"Parts of the test rows, worst first ({len(parts)} looked at)"
    table = Exhibit("worst parts", "table", title, {"columns": columns, "rows": rows})
    return Finding("slices", tuple(measures), (table,), tuple(missing))


def _row_scores(case: Case) -> np.ndarray:
    """(seeds, rows): the score where it is a share of each row, else the absolute error."""
    arm = case.arms["transfer"]
    targets = np.asarray(case.targets)
    if case.outcome == "ordinal":
        return np.asarray(np.abs(median(outputs(case, arm)) - targets[None, :]))
    if case.score.share:
        return scores(case, arm)
    return np.asarray(np.abs(outputs(case, arm) - targets[None, :]))


def _parts(case: Case) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """Rows of every part, (rows,) of bool by "column = value"; and what was left out, with the reason."""
    parts: dict[str, np.ndarray] = {}
    missing: list[tuple[str, str]] = []
    for column, values in case.metadata.items():
        words = np.asarray(values).astype(str)
        kinds, counts = np.unique(words, return_counts=True)
        if not 2 <= len(kinds) <= _MOST_VALUES:
            missing.append(
                (f"scores by {column}", f"{len(kinds)} values; 2 to {_MOST_VALUES} are looked at")
            )
            continue
        for kind, rows in zip(kinds, counts, strict=True):
            name = f"{column} = {kind or '(empty)'}"
            if rows < _FEWEST_ROWS or len(words) - rows < _FEWEST_ROWS:
                few = min(int(rows), len(words) - int(rows))
                missing.append(
                    (f"score where {name}", f"{few} rows on one side; {_FEWEST_ROWS} are needed")
                )
            else:
                parts[name] = words == kind
    return parts, missing


def _score(
    case: Case, found: np.ndarray, inside: np.ndarray, *, name: str, level: float
) -> tuple[Measure, Measure]:
    """Score within a part, and its gap to all other rows.

    Args:
        found: (seeds, rows) row scores.
        inside: (rows,) of bool.
        name: the part, for `Measure.group`.
        level: of both intervals.
    """
    share = case.score.share and case.outcome != "ordinal"
    word = case.score.name if share else "mean absolute error"
    unit = "share" if share else "unit of the target"
    unit = "levels" if case.outcome == "ordinal" else unit
    groups = case.groups
    own = ordinal(None if groups is None else np.asarray(groups)[inside])
    value, low, high, method = estimate(
        found[:, inside], own, share=share, positive=not share, unit=_unit(case), level=level
    )
    gap_value, error, df = _gap(found, inside, ordinal(groups), share=share)
    if not error > 0:
        error = _unit(case) * min(1.0, 3.0 / int(min(inside.sum(), (~inside).sum())))
    half = quantile(df, level) * error
    n = int(inside.sum())
    score = Measure(word, value, low, high, n, unit, "", method, group=name, level=level)
    factor, gap_unit = (100.0, "points") if share else (1.0, unit)
    gap = Measure(
        name=f"gap in {word} to other rows",
        value=factor * gap_value,
        low=factor * (gap_value - half),
        high=factor * (gap_value + half),
        n=n,
        unit=gap_unit,
        baseline="all other test rows",
        method="difference of the two means; interval over seeds and rows, Satterthwaite t",
        group=name,
        level=level,
    )
    return score, gap


def _unit(case: Case) -> float:
    """What a row would add if it were wrong: a share of 1, or the mean distance of the targets."""
    if case.score.share:
        return 1.0
    targets = np.asarray(case.targets, dtype=np.float64)
    return float(np.abs(targets - targets.mean()).mean()) or 1.0


def _gap(
    found: np.ndarray, inside: np.ndarray, groups: np.ndarray | None, *, share: bool
) -> tuple[float, float, float]:
    """Mean inside less mean outside, its standard error over seeds and rows, degrees of freedom.

    The gap is the mean over all rows of (x_i - mean of its side) n / n_side, signed by side, so seeds and
    groups are treated as for any mean. A side of shares near 0 or 1 gets the variance that it would have
    with one more row right and one more wrong (Agresti, Caffo 2000), where that is larger.
    """
    rows = found.shape[1]
    signed = np.zeros_like(found)
    gap, floor, fewest = np.zeros(len(found)), 0.0, rows
    for sign, kept in ((1, inside), (-1, ~inside)):
        means, size = found[:, kept].mean(axis=1), int(kept.sum())
        signed[:, kept] = sign * (found[:, kept] - means[:, None]) * rows / size
        gap += sign * means
        fewest = min(fewest, size)
        if share:
            p = float(means.mean())
            padded = (p * size + 1) / (size + 2)
            floor += max(0.0, padded * (1 - padded) / (size + 2) - p * (1 - p) / size)
    spread = _paired.mean(signed + gap[:, None], groups)
    error = math.sqrt(spread.error**2 + floor)
    return float(gap.mean()), error, min(spread.df, float(fewest - 1))
