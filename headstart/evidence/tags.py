"""Several tags a row: area under the ROC curve, F1, and how often all tags of a row are right.

The area is the chance that a row that carries the tag is ranked above one that does not; its interval is
that of DeLong, DeLong and Clarke-Pearson (1988) over rows (or groups), with the spread of seeds. F1 takes
a tag as told from a probability of 0.5 on: micro over all known cells, macro as the mean over tags that
occur; intervals by bootstrap over rows (or groups). Cells that are not known count nowhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence import _paired, _resample
from headstart.evidence._interval import ordinal, share_interval
from headstart.evidence._scores import estimate, outputs

NEEDS = ()
OUTCOMES = ("tag",)

_LIKELY = 0.5
_MOST = 60  # tags that a table can show


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test rows."""
    said = outputs(case, case.arms["transfer"])
    truth = np.asarray(case.targets, dtype=np.float64)
    measures, missing, rows = list[Measure](), list[tuple[str, str]](), list[list[Any]]()
    reason = case.score.undefined(truth)
    if reason:
        missing.append(("AUROC", reason))
    else:
        measures.append(_area(case, said, truth, "AUROC", ""))
    measures += _shares(case, said, truth)
    for k, name in enumerate(case.classes):
        one = truth[:, k : k + 1]
        carried, known = int((one == 1).sum()), int(np.isfinite(one).sum())
        found = None
        if carried and carried < known:
            found = _area(case, said[:, :, k : k + 1], one, "AUROC", name)
            measures.append(found)
        else:
            missing.append((f"AUROC of tag '{name}'", "all known test rows are alike in it"))
        told = float((said[:, :, k] >= _LIKELY).mean())
        ends = [found.value, found.low, found.high] if found else [None, None, None]
        rows.append([name, known, carried, round(told * len(truth), 1), *ends])
    rows.sort(key=lambda row: row[4] if row[4] is not None else 2.0)
    columns = ["tag", "rows known", "rows with it", "rows told to have it", "AUROC", "low", "high"]
    title = f"Tags, the worst told apart first ({min(len(rows), _MOST)} of {len(rows)})"
    table = Exhibit("tags", "table", title, {"columns": columns, "rows": rows[:_MOST]})
    return Finding("tags", tuple(measures), (table,), tuple(missing))


def _area(case: Case, said: np.ndarray, truth: np.ndarray, name: str, tag: str) -> Measure:
    """Area under the curve of some tags, with its interval."""
    found = case.score.rows(said, truth)
    groups = ordinal(case.groups)
    spread = _paired.mean(found, groups)
    low, high = share_interval(spread.value, spread.error**2, size=spread.size, df=spread.df)
    rows = int(np.isfinite(truth).any(axis=1).sum())
    over = "test rows" if groups is None else "groups of test rows"
    method = f"mean of {len(found)} seed(s); DeLong's variance over {over} and seeds, Wilson's form"
    return Measure(name, spread.value, low, high, rows, "share", "", method, group=tag)


def _shares(case: Case, said: np.ndarray, truth: np.ndarray) -> list[Measure]:
    """F1 over cells and over tags, and the share of rows with all known tags right."""
    groups, known = ordinal(case.groups), np.isfinite(truth)
    told = said >= _LIKELY
    right = np.stack([((t == (truth == 1)) | ~known).all(axis=1) for t in told]).astype(np.float64)
    value, low, high, method = estimate(right, groups, share=True)
    rows = len(truth)
    found = [Measure("rows with all tags right", value, low, high, rows, "share", "", method)]
    carried = (truth == 1).astype(np.float32)
    parts = [sparse.csr_matrix(carried)]
    for t in told:
        parts += [sparse.csr_matrix((t & known).astype(np.float32)), sparse.csr_matrix(t * carried)]
    seeds, tags = len(said), truth.shape[1]

    def f1(sums: np.ndarray) -> np.ndarray:
        blocks = sums.reshape(len(sums), 1 + 2 * seeds, tags)
        held, named, hit = blocks[:, :1], blocks[:, 1::2], blocks[:, 2::2]
        micro = 2 * hit.sum(2) / np.maximum((held + named).sum(2), 1)
        occurs = held > 0
        each = 2 * hit / np.maximum(held + named, 1) * occurs
        macro = each.sum(2) / np.maximum(occurs.sum(2), 1)
        return np.stack([micro, macro], axis=2)

    columns = sparse.hstack(parts, format="csr")
    values, errors, freedoms = _resample.spreads(columns, f1, groups=groups, seed=case.seed)
    size = rows if groups is None else int(groups.max()) + 1
    how = (
        f"mean of {seeds} seed(s); a tag is told from a probability of 0.5 on; bootstrap over rows"
    )
    for k, name in enumerate(("micro F1", "macro F1")):
        ends = share_interval(values[k], errors[k] ** 2, size=size, rows=rows, df=freedoms[k])
        found.append(Measure(name, float(values[k]), *map(float, ends), rows, "share", "", how))
    return found
