"""Rows of no known class: how well they are told from rows of the known classes.

A detector was fitted on training rows of the known classes and chosen on training rows. Here it reads all
test rows. AUROC: the chance that a row of no known class scores farther outside than a row of one, with
the interval of DeLong, DeLong and Clarke-Pearson (1988). FPR at 95 % TPR (Hendrycks and Gimpel 2017): the
share of rows of no known class that pass where 95 % of the others do; its threshold is taken on the same
test rows, so the interval is by bootstrap over both kinds of rows (or groups). At the threshold that
the pack carries: the share of each kind that is marked, and the share of all test rows told right, which
are those of known classes that are not marked and have the right class, and the others that are marked.
"""

from __future__ import annotations

import numpy as np

from headstart.core.evidence import Case, Exhibit, Finding, Measure, Outside
from headstart.core.ranking import area
from headstart.evidence import _paired
from headstart.evidence._interval import ordinal, share_interval
from headstart.evidence._scores import estimate, predictions

NEEDS = ("outside",)
OUTCOMES = ("classify",)

_PASS = 0.95
_RESAMPLES = 1000


def check(case: Case) -> Finding:
    """Measures every detector, the chosen one by name first."""
    found = case.outside
    if found is None:
        why = "no detector was handed over"
        return Finding("scope", missing=(("rows of no known class", why),))
    known = found.known[found.chosen]
    groups = ordinal(case.groups)
    marked = (known > found.threshold).astype(np.float64)
    right = _right(case)
    measures = [
        _share("in-scope accuracy", right, groups, "mean of seeds over test rows of known classes"),
        _share(
            "rows of known classes marked as out of scope",
            marked[None],
            groups,
            f"'{found.chosen}' at the sealed threshold",
        ),
    ]
    if not len(found.beyond[found.chosen]):
        why = "no test row is labelled as one"
        return Finding("scope", tuple(measures), missing=(("AUROC of rows out of scope", why),))
    rows, names = list[list[object]](), sorted(found.known, key=lambda n: n != found.chosen)
    for name in names:
        both = _ranked(case, found, name)
        measures += both
        ends = [x for m in both for x in (m.value, m.low, m.high)]
        rows.append([name + (" (chosen)" if name == found.chosen else ""), *ends])
    measures += _at_threshold(case, found, right * (1 - marked))
    columns = ["detector", "AUROC", "low", "high", "FPR at 95 % TPR", "low ", "high "]
    title = f"Detectors of {len(found.beyond[found.chosen])} test rows of no known class"
    table = Exhibit("detectors", "table", title, {"columns": columns, "rows": rows})
    return Finding("scope", tuple(measures), (table,))


def _right(case: Case) -> np.ndarray:
    """(seeds, rows) 1 where the likeliest class is the true one."""
    told = predictions(case, case.arms["transfer"])
    return (told == np.asarray(case.targets)[None, :]).astype(np.float64)


def _share(name: str, found: np.ndarray, groups: np.ndarray | None, how: str) -> Measure:
    value, low, high, method = estimate(found, groups, share=True)
    return Measure(name, value, low, high, found.shape[1], "share", "", f"{how}; {method}")


def _joined(case: Case, found: Outside) -> np.ndarray | None:
    """Group numbers of the rows of known classes, then of the others."""
    if case.groups is None or found.groups is None:
        return None
    return ordinal(np.concatenate([np.asarray(case.groups), np.asarray(found.groups)]))


def _ranked(case: Case, found: Outside, name: str) -> tuple[Measure, Measure]:
    """AUROC and FPR at 95 % TPR of one detector."""
    known, beyond = found.known[name], found.beyond[name]
    said, truth = (
        np.concatenate([known, beyond]),
        np.repeat([0.0, 1.0], [len(known), len(beyond)]),
    )
    groups = _joined(case, found)
    spread = _paired.mean(area(said, truth)[None], groups)
    low, high = share_interval(spread.value, spread.error**2, size=spread.size, df=spread.df)
    group = "" if name == found.chosen else name
    over = "test rows" if groups is None else "groups of test rows"
    how = f"'{name}', fitted on known classes; DeLong's variance over {over}, Wilson's form"
    first = Measure(
        "AUROC of rows out of scope",
        spread.value,
        low,
        high,
        len(said),
        "share",
        "",
        how,
        group=group,
    )
    value = passed(known, beyond)
    variance = _variance(said, truth, groups, case.seed)
    low, high = share_interval(value, variance, size=len(beyond))
    how = f"'{name}'; threshold at 95 % of these test rows; bootstrap over {over}, Wilson's form"
    n = len(beyond)
    second = Measure("FPR at 95 % TPR", value, low, high, n, "share", "", how, group=group)
    return first, second


def passed(known: np.ndarray, beyond: np.ndarray) -> float:
    """Share of rows beyond that lie no farther out than 95 % of the known ones."""
    return float((beyond <= np.quantile(known, _PASS, method="higher")).mean())


def _variance(said: np.ndarray, truth: np.ndarray, groups: np.ndarray | None, seed: int) -> float:
    """Variance of `passed` over resamples of rows, or of whole groups."""
    rng = np.random.default_rng(seed)
    units = np.arange(len(said)) if groups is None else groups
    order = np.argsort(units, kind="stable")
    ends = np.searchsorted(units[order], np.arange(int(units.max()) + 2))
    made = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(ends) - 1, len(ends) - 1)
        if groups is None:
            rows = drawn
        else:
            rows = np.concatenate([order[ends[u] : ends[u + 1]] for u in drawn])
        here, what = said[rows], truth[rows]
        if 0 < what.sum() < len(what):
            made.append(passed(here[what == 0], here[what == 1]))
    return float(np.var(made, ddof=1)) if len(made) > 1 else 0.0


def _at_threshold(case: Case, found: Outside, kept: np.ndarray) -> list[Measure]:
    """What is marked at the sealed threshold. `kept`: (seeds, rows) right and not marked."""
    caught = (found.beyond[found.chosen] > found.threshold).astype(np.float64)
    how = f"'{found.chosen}' at the sealed threshold"
    every = np.concatenate([kept, np.broadcast_to(caught, (len(kept), len(caught)))], axis=1)
    own = None if found.groups is None else ordinal(found.groups)
    return [
        _share("rows of no known class marked as out of scope", caught[None], own, how),
        _share("all test rows told right, marks included", every, _joined(case, found), how),
    ]
