"""Accuracy, balanced accuracy, precision, recall and F1, and the confusion matrix.

With t_c the rows of class c that were told right, n_c its rows and p_c the rows told to be c:
recall_c = t_c / n_c, precision_c = t_c / p_c (0 where p_c is 0), F1_c = 2 t_c / (n_c + p_c); macro means
are taken over the classes that occur in the test rows, and balanced accuracy is macro recall (Brodersen
et al. 2010). Every number is the mean over the arm's seeds. Intervals: Wilson (1927) for plain shares of
one seed without groups; otherwise standard errors over rows (or groups) by 2,000 bootstrap resamples and
over seeds by their spread, in Wilson's form at the effective size. The share of the class that was most
frequent in the validation rows stands beside accuracy as its baseline.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence import _resample
from headstart.evidence._interval import ordinal, share_interval, wilson
from headstart.evidence._scores import confusion, estimate, predictions

NEEDS = ("validation",)
OUTCOMES = ("classify",)

_MOST_CLASSES = 100  # beyond it neither the matrix nor a line per class can be read
_MACRO = ("balanced accuracy", "macro precision", "macro recall", "macro F1")


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test rows."""
    told = predictions(case, case.arms["transfer"])
    targets = np.asarray(case.targets).astype(np.int64)
    groups = ordinal(case.groups)
    values, errors, freedoms = _bootstrapped(
        told, targets, len(case.classes), groups=groups, seed=case.seed
    )
    seeds = len(told)
    size = len(targets) if groups is None else int(groups.max()) + 1
    over = "test rows" if groups is None else "groups of test rows"
    method = f"mean of {seeds} seed(s); bootstrap over {over}" + (
        ", spread of seeds added" if seeds > 1 else ""
    )
    measures = [_accuracy(case, told, targets), *_majority(case, targets)]
    for k, name in enumerate(_MACRO):
        low, high = share_interval(
            values[k], errors[k] ** 2, size=size, rows=len(targets), df=freedoms[k]
        )
        measures.append(_share(name, (values[k], low, high), n=len(targets), method=method))
    missing: list[tuple[str, str]] = []
    exhibits: tuple[Exhibit, ...] = ()
    if len(case.classes) > _MOST_CLASSES:
        missing.append(("scores per class", f"more than {_MOST_CLASSES} classes"))
    else:
        found = (values[4:], errors[4:], freedoms[4:])
        per_class, missing = _per_class(case, told, targets, found=found, method=method)
        measures += per_class
        exhibits = (confusion(case, told, targets),)
    return Finding("accuracy", tuple(measures), exhibits, tuple(missing))


def _share(
    name: str, ends: tuple[float, float, float], *, n: int, method: str, group: str = ""
) -> Measure:
    """A share with its ends (value, low, high) as a measure."""
    value, low, high = (float(x) for x in ends)
    return Measure(name, value, low, high, n, "share", "", method, group=group)


def _accuracy(case: Case, told: np.ndarray, targets: np.ndarray) -> Measure:
    """Share of rows told right."""
    right = (told == targets[None, :]).astype(np.float64)
    value, low, high, method = estimate(right, ordinal(case.groups), share=True)
    baseline = "the most frequent class" if len(case.validation_targets) else ""
    return Measure("accuracy", value, low, high, len(targets), "share", baseline, method)


def _majority(case: Case, targets: np.ndarray) -> list[Measure]:
    """What naming always the class most frequent in validation rows would score."""
    known = np.asarray(case.validation_targets).astype(np.int64)
    if not len(known):
        return []
    common = int(np.bincount(known, minlength=len(case.classes)).argmax())
    right = (targets == common).astype(np.float64)[None, :]
    value, low, high, method = estimate(right, ordinal(case.groups), share=True)
    words = (
        f"always '{case.classes[common]}', the most frequent class of the validation rows; {method}"
    )
    return [
        _share("share of the most frequent class", (value, low, high), n=len(targets), method=words)
    ]


def _bootstrapped(
    told: np.ndarray, targets: np.ndarray, classes: int, *, groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, standard errors, freedoms of the macro scores, then precision, recall, F1 of each class.

    Args:
        told: (seeds, rows) predicted classes.
        targets: (rows,) true classes.

    Returns:
        Three arrays (4 + 3 x classes,); NaN for classes without test rows.
    """
    parts = [_resample.onehot(targets, classes)]
    for row in told:
        parts.append(_resample.onehot(row, classes))
        parts.append(_resample.onehot(targets, classes, keep=row == targets))
    seeds = len(told)

    def score(sums: np.ndarray) -> np.ndarray:
        blocks = sums.reshape(len(sums), 1 + 2 * seeds, classes)
        rows, named, right = blocks[:, :1], blocks[:, 1::2], blocks[:, 2::2]
        present = np.where(rows > 0, 1.0, np.nan)
        precision = right / np.maximum(named, 1) * present
        recall = right / np.maximum(rows, 1) * present
        f1 = 2 * right / np.maximum(rows + named, 1) * present
        kinds = max(1, classes)
        count = np.maximum(np.isfinite(present).sum(axis=2), 1) / kinds
        means = [np.nan_to_num(x).mean(axis=2) / count for x in (recall, precision, recall, f1)]
        each = [precision, recall, f1] if classes <= _MOST_CLASSES else []
        return np.concatenate([np.stack(means, axis=2), *each], axis=2)

    columns = sparse.hstack(parts, format="csr")
    return _resample.spreads(columns, score, groups=groups, seed=seed)


def _per_class(
    case: Case,
    told: np.ndarray,
    targets: np.ndarray,
    *,
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    method: str,
) -> tuple[list[Measure], list[tuple[str, str]]]:
    """Precision, recall and F1 of every class, and which could not be measured.

    Args:
        found: values, standard errors, freedoms as `_bootstrapped` gives them, macro scores left out.
    """
    classes = len(case.classes)
    groups = ordinal(case.groups)
    measures: list[Measure] = []
    missing: list[tuple[str, str]] = []
    for c, name in enumerate(case.classes):
        rows = int((targets == c).sum())
        named = float((told == c).sum()) / len(told)
        if not rows:
            missing.append((f"scores of class '{name}'", "no test row has it"))
            continue
        if not named:
            missing.append((f"precision of class '{name}'", "it was never predicted"))
        held = {"precision": named, "recall": float(rows), "F1": (rows + named) / 2}
        for k, (score, size) in enumerate(held.items()):
            if not size:
                continue
            value, error, df = (float(x[k * classes + c]) for x in found)
            if score != "F1" and len(told) == 1 and groups is None:
                ends, how = wilson(value, size), "one seed; Wilson interval over test rows"
            else:
                units = size if groups is None else min(size, len(np.unique(groups[targets == c])))
                ends, how = (
                    share_interval(value, error**2, size=max(units, 1), rows=size, df=df),
                    method,
                )
            n = max(1, math.floor(size)) if score == "precision" else rows
            measures.append(_share(score, (value, *ends), n=n, method=how, group=name))
    return measures, missing
