"""Arithmetic of splits: strata, times, and shares of groups. Row numbers in, row numbers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from headstart.data import tags
from headstart.errors import DataError

CLASSED = ("classify", "ordinal")
"""Outcomes whose target is one of several names."""
BINS = 10
TRIES = 10
MANY_GROUPS = 2000


def codes(values: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
    """(n,) int64 numbers of distinct values in sorted order, and these values."""
    distinct = ordered(values)
    number = {value: i for i, value in enumerate(distinct)}
    return np.array([number[v] for v in values], np.int64), distinct


def ordered(values: Sequence[Any]) -> list[Any]:
    """Distinct values, sorted; by their text where they do not compare."""
    distinct = set(values)
    try:
        return sorted(distinct)
    except TypeError:
        return sorted(distinct, key=str)


def strata(targets: Sequence[Any], outcome: str, least: int = 5) -> np.ndarray:
    """(n,) int64 numbers of strata: classes, quantile bins of at least `least` rows, or the rarest tag
    or label of a row (raw ones; or rows of 0, 1 and NaN, of class numbers and -1)."""
    if outcome in CLASSED:
        return codes(targets)[0]
    if outcome in ("tag", "label_each"):
        return _rarest(targets, outcome)
    if outcome != "regress" or len(targets) < 2 * least:
        return np.zeros(len(targets), np.int64)
    values = np.asarray(targets, np.float64)
    bins = min(BINS, len(values) // least)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1].astype(
        np.int64
    )


def _rarest(targets: Sequence[Any], outcome: str) -> np.ndarray:
    """(n,) int64 number of the rarest tag or label of each row; 0 for none."""
    rows: list[Sequence[Any]]
    if outcome == "label_each":
        rows = [sorted({n for n in t if n is not None and n != -1}) for t in targets]
    elif isinstance(targets[0], np.ndarray):
        rows = [np.flatnonzero(t == 1).tolist() for t in targets]
    else:
        rows = [tags.carried(t) for t in targets]
    count = Counter(name for row in rows for name in row)
    found = [min(row, key=lambda n: (count[n], str(n))) if row else None for row in rows]
    number = {name: k + 1 for k, name in enumerate(sorted(set(found) - {None}, key=str))}
    return np.array([number.get(name, 0) for name in found], np.int64)


def moments(values: Sequence[Any], column: str) -> np.ndarray:
    """(n,) float64 that sort as the times do: numbers, dates, or text in ISO 8601. Raises DataError."""
    try:
        return np.array([_moment(v) for v in values], np.float64)
    except ValueError:
        odd = next(v for v in values if not _is_moment(v))
        raise DataError(
            f"The time column '{column}' holds {odd!r}. Expected numbers or dates such as 2026-03-31 "
            "or 2026-03-31T12:00; convert the column."
        ) from None


def _moment(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return float(value.toordinal()) * 86400
    if isinstance(value, (int, float)):
        return float(value)
    raise ValueError(value)


def _is_moment(value: Any) -> bool:
    try:
        _moment(value)
    except ValueError:
        return False
    return True


def latest(times: np.ndarray, share: float) -> np.ndarray:
    """Mask of the latest `share` of rows; rows of one time stay together. Raises DataError."""
    moments_sorted = np.sort(times)
    starts = np.flatnonzero(np.diff(moments_sorted)) + 1  # rows before each possible cut
    if not len(starts):
        raise DataError(
            "All rows have the same time, so there is no latest part to test on. Name another time "
            "column, or leave it out to have the split drawn."
        )
    cut = starts[np.argmin(np.abs(starts - (1 - share) * len(times)))]
    return np.asarray(times >= moments_sorted[cut])


def drawn(
    stratum: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Mask of about `share` of every stratum, groups kept whole.

    Groups of several rows are walked through in random order and taken while they bring the strata
    nearer to their shares; single rows fill up the rest. Of some orders the best is kept. Every
    stratum has a row on both sides where its groups permit it.
    """
    size = np.bincount(groups)[groups]
    several = np.unique(groups[size > 1])
    tries = 1 if not len(several) else TRIES if len(several) <= MANY_GROUPS else 2
    best, lowest = np.zeros(len(groups), bool), np.inf
    table = _table(stratum, groups, several)
    for _ in range(tries):
        mask = _one_draw(stratum, groups, several, table, share, rng)
        count, taken = np.bincount(stratum), np.bincount(stratum[mask], minlength=stratum.max() + 1)
        one_sided = ((taken == 0) | (taken == count)).sum()
        off = np.abs(taken - share * count).sum() + len(groups) * one_sided
        if off < lowest:
            best, lowest = mask, off
    return best


def _table(
    stratum: np.ndarray, groups: np.ndarray, several: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Strata and counts of every group of several rows."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], several, side="left")
    ends = np.searchsorted(groups[order], several, side="right")
    return [
        np.unique(stratum[order[a:b]], return_counts=True)
        for a, b in zip(starts, ends, strict=True)
    ]


def _one_draw(
    stratum: np.ndarray,
    groups: np.ndarray,
    several: np.ndarray,
    table: list[tuple[np.ndarray, np.ndarray]],
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    kinds = int(stratum.max()) + 1
    count = np.bincount(stratum, minlength=kinds)
    bundled = np.isin(groups, several)
    wanted = share * np.bincount(stratum[bundled], minlength=kinds)
    taken, chosen = np.zeros(kinds), list[int]()
    for number in rng.permutation(len(several)):
        where, many = table[number]
        now = np.abs(wanted[where] - taken[where]).sum()
        if np.abs(wanted[where] - taken[where] - many).sum() < now:
            taken[where] += many
            chosen.append(int(several[number]))
    mask = np.isin(groups, chosen)
    quota = np.clip(np.rint(share * count), 1, np.maximum(count - 1, 1))
    for kind in range(kinds):
        single = np.flatnonzero((stratum == kind) & ~bundled)
        need = int(np.clip(quota[kind] - taken[kind], 0, len(single)))
        if need == count[kind]:
            need -= 1
        mask[rng.permutation(single)[:need]] = True
    return mask


def deal(stratum: np.ndarray, groups: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) fold numbers: every stratum spread evenly, groups kept whole, larger groups first."""
    kinds = int(stratum.max()) + 1
    held = np.zeros((k, kinds), np.int64)
    fold = np.full(len(groups), -1, np.int64)
    order = rng.permutation(len(groups))
    several = order[np.bincount(groups)[groups[order]] > 1]
    members = _members(groups[several])
    for number in np.argsort([-len(m) for m in members], kind="stable"):
        rows = several[members[number]]
        where, many = np.unique(stratum[rows], return_counts=True)
        after = held[:, where] + many
        crowd = (after**2 - held[:, where] ** 2).sum(axis=1)
        best = np.lexsort((held.sum(axis=1), crowd))[0]
        held[best, where] += many
        fold[rows] = best
    single = order[fold[order] < 0]
    for kind in range(kinds):
        rows = single[stratum[single] == kind]
        chosen = _level(held[:, kind], held.sum(axis=1), len(rows))
        fold[rows] = chosen
        held[:, kind] += np.bincount(chosen, minlength=k)
    return fold


def _level(held: np.ndarray, total: np.ndarray, rows: int) -> np.ndarray:
    """(rows,) folds in the order of dealing: the emptiest first, of equal ones the smallest fold."""
    k = len(held)
    rounds = rows // k + int(np.ptp(held)) + 1
    heights = (held[:, None] + np.arange(rounds)).ravel()
    folds = np.repeat(np.arange(k), rounds)
    return np.asarray(folds[np.lexsort((folds, total[folds], heights))][:rows])


def _members(groups: np.ndarray) -> list[np.ndarray]:
    """Places of every group, in the order of first appearance."""
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(place, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(place))[:-1]) if len(order) else []
    return [pieces[i] for i in np.argsort(first)]
