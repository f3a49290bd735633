"""Labels of positions: precision, recall and F1 of whole spans, or of single labels where they tell no spans.

A span is right where its type, beginning and end are (Tjong Kim Sang, Buchholz 2000; as seqeval counts).
Micro scores are over all spans, the others of each type. Every number is the mean over seeds; standard
errors come from 2,000 bootstrap resamples of rows (or groups), so that spans of one row stay together, and
from the spread of seeds. Positions without a label count nowhere; one that the model did not reach, behind
the longest sample that it reads, counts as told nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from headstart.core import spans
from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence import _resample
from headstart.evidence._interval import ordinal, share_interval
from headstart.evidence._scores import outputs

NEEDS = ()
OUTCOMES = ("label_each",)

_SCORES = ("precision", "recall", "F1")
_MOST = 12  # mistakes shown
_MOST_KINDS = 60  # that a table or matrix can show
_NOTHING = "(no span)"


@dataclass(frozen=True)
class _Counted:
    """What is counted: spans of types, or positions of labels.

    Attributes:
        word: "span" or "label".
        kinds: names of the types or labels.
        right, told: (seeds, rows, kinds) counts; true: (rows, kinds).
        confusion: (kinds + 1, kinds + 1) true by told, mean over seeds; the last is "nothing there".
    """

    word: str
    kinds: tuple[str, ...]
    right: np.ndarray
    told: np.ndarray
    true: np.ndarray
    confusion: np.ndarray


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test rows."""
    said = outputs(case, case.arms["transfer"])
    truth = np.asarray(case.targets)
    told = _likeliest(said, truth)
    counted = _counted(case, told, truth)
    if not counted.true.any():
        reason = "no test row holds a span" if counted.word == "span" else "no position has a label"
        return Finding("positions", missing=((f"{counted.word} F1", reason),))
    measures, missing, table = _scores(case, counted)
    exhibits = [table]
    if len(counted.kinds) <= _MOST_KINDS:
        exhibits.append(_matrix(counted, len(told)))
    exhibits.append(_mistakes(case, said, truth))
    return Finding("positions", tuple(measures), tuple(exhibits), tuple(missing))


def _likeliest(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(..., rows, positions) class numbers, -1 where nothing is told or no label is known."""
    told = np.where(np.isfinite(said).all(axis=-1), np.nan_to_num(said).argmax(axis=-1), -1)
    return np.where(truth == -1, -1, told)


def _counted(case: Case, told: np.ndarray, truth: np.ndarray) -> _Counted:
    scheme = spans.scheme(case.classes)
    if scheme is None:
        return _labels(case.classes, told, truth)
    size = len(scheme.types)
    found, true = spans.find(told, scheme), spans.find(truth, scheme)
    right = spans.right(found, true)
    kinds = np.arange(size)
    held = true.starts[..., None] & (true.kinds[..., None] == kinds)
    named = found.starts[..., None] & (found.kinds[..., None] == kinds)
    hit = right[..., None] & (true.kinds[..., None] == kinds)
    same = found.starts & true.starts & (found.ends == true.ends)
    where = np.broadcast_to(true.starts, same.shape)
    first = np.broadcast_to(true.kinds, same.shape)
    confusion = _pairs(first[where], np.where(same, found.kinds, size)[where], size)
    confusion += _pairs(size, found.kinds[found.starts & ~same], size)
    return _Counted(
        "span", scheme.types, hit.sum(2), named.sum(2), held.sum(1), confusion / len(told)
    )


def _labels(classes: tuple[str, ...], told: np.ndarray, truth: np.ndarray) -> _Counted:
    kinds, size = np.arange(len(classes)), len(classes)
    held, named = truth[..., None] == kinds, told[..., None] == kinds
    known = np.broadcast_to(truth >= 0, told.shape)
    first = np.broadcast_to(truth, told.shape)[known]
    confusion = _pairs(first, np.where(told < 0, size, told)[known], size)
    return _Counted(
        "label", classes, (held & named).sum(2), named.sum(2), held.sum(1), confusion / len(told)
    )


def _pairs(first: Any, second: np.ndarray, size: int) -> np.ndarray:
    """(size + 1, size + 1) counts of pairs."""
    codes = np.asarray(first) * (size + 1) + second
    return np.bincount(codes.ravel(), minlength=(size + 1) ** 2).reshape(size + 1, size + 1) * 1.0


def _of_counts(sums: np.ndarray, seeds: int, kinds: int) -> np.ndarray:
    """Precision, recall and F1 (N, seeds, 3 * (1 + kinds)), of all kinds together first, from N draws' sums
    of counts (N, (1 + 2 * seeds) * kinds): true ones, then told and right ones of each seed."""
    blocks = sums.reshape(len(sums), 1 + 2 * seeds, kinds)
    blocks = np.concatenate([blocks.sum(axis=2, keepdims=True), blocks], axis=2)
    true, told, right = blocks[:, :1], blocks[:, 1::2], blocks[:, 2::2]
    present = np.where(true > 0, 1.0, np.nan)
    precision = right / np.maximum(told, 1) * present
    recall = right / np.maximum(true, 1) * present
    f1 = 2 * right / np.maximum(told + true, 1) * present
    return np.concatenate([precision, recall, f1], axis=2)


def _scores(case: Case, counted: _Counted) -> tuple[list[Measure], list[tuple[str, str]], Exhibit]:
    """Micro scores, then those of each kind."""
    seeds, rows, kinds = counted.right.shape
    groups = ordinal(case.groups)
    parts = [counted.true, *(p for s in range(seeds) for p in (counted.told[s], counted.right[s]))]
    columns = sparse.hstack([sparse.csr_matrix(p.astype(np.float32)) for p in parts], format="csr")

    score = partial(_of_counts, seeds=seeds, kinds=kinds)
    values, errors, freedoms = _resample.spreads(columns, score, groups=groups, seed=case.seed)
    over = "rows" if groups is None else "groups of rows"
    method = f"mean of {seeds} seed(s); bootstrap over {over}" + (
        ", spread of seeds added" if seeds > 1 else ""
    )
    measures, missing, lines = list[Measure](), list[tuple[str, str]](), list[list[Any]]()
    for place, kind in enumerate(("", *counted.kinds)):
        true = counted.true if not kind else counted.true[:, place - 1]
        told = counted.told if not kind else counted.told[:, :, place - 1]
        size, named = int(true.sum()), float(told.sum()) / seeds
        if not size:
            missing.append((f"scores of '{kind}'", "no test row has it"))
            continue
        line: list[Any] = [kind or "all", size, round(named, 1)]
        for k, name in enumerate(_SCORES):
            at = k * (kinds + 1) + place
            low, high = share_interval(
                values[at], errors[at] ** 2, size=size, rows=rows, df=freedoms[at]
            )
            label = name if kind else f"{counted.word} {name}"
            value = float(values[at])
            measures.append(
                Measure(
                    label, value, float(low), float(high), size, "share", "", method, group=kind
                )
            )
            line += [value, float(low), float(high)]
        lines.append(line)
    lines[1:] = sorted(lines[1:], key=lambda line: line[9])
    columns_ = [counted.word, "true", "told"]
    for name in _SCORES:
        columns_ += [name, "low", "high"]
    title = f"Each kind of {counted.word}, the lowest F1 first"
    data = {"columns": columns_, "rows": lines[: _MOST_KINDS + 1]}
    return measures, missing, Exhibit("kinds", "table", title, data)


def _matrix(counted: _Counted, seeds: int) -> Exhibit:
    """Counts by true kind (row) and told kind (column) with the same beginning and end."""
    names, counts = [*counted.kinds, _NOTHING], counted.confusion
    if counted.word == "label" and not counts[:, -1].any():
        names, counts = names[:-1], counts[:-1, :-1]
    mean = "" if seeds == 1 else f", mean of {seeds} seeds"
    title = f"What was taken for what{mean}"
    data = {"labels": names, "counts": np.round(counts, 2).tolist(), "rows": "true"}
    return Exhibit("confusion", "matrix", title, {**data, "columns": "predicted"})


def _mistakes(case: Case, said: np.ndarray, truth: np.ndarray) -> Exhibit:
    """Rows with the wrong label that the model was surest of; probabilities averaged over seeds."""
    mean = said.mean(axis=0)
    told = _likeliest(mean, truth)
    sure = np.where((told != truth) & (told >= 0), np.nan_to_num(mean).max(axis=-1), 0.0)
    surest = sure.max(axis=1, initial=0.0)
    wrong = np.flatnonzero(surest > 0)
    rows = []
    for row in wrong[np.argsort(-surest[wrong], kind="stable")][:_MOST]:
        found, true = (_listed(case.classes, labels[row]) for labels in (told, truth))
        rows.append(
            {
                "row": int(row),
                "predicted": _told(found),
                "true": _told(true),
                "confidence": float(surest[row]),
                "marks": _marks(found, true, told[row]),
            }
        )
    data = {"rows": rows, "mistakes": len(wrong), "of": len(truth)}
    title = (
        f"Surest mistakes ({len(rows)} of {len(wrong)} rows with one among {len(truth)} test rows)"
    )
    return Exhibit("surest mistakes", "samples", title, data)


def _listed(classes: tuple[str, ...], labels: np.ndarray) -> list[tuple[int, int, str]]:
    """Spans, or labelled positions, of one row."""
    scheme = spans.scheme(classes)
    if scheme is not None:
        return spans.listed(labels, scheme)
    return [(int(i), int(i), classes[labels[i]]) for i in np.flatnonzero(labels >= 0)]


def _told(found: list[tuple[int, int, str]]) -> str:
    """Spans in words, positions counted from 1."""
    shown = [f"{name} {a + 1}" + (f" to {b + 1}" if b > a else "") for a, b, name in found[:8]]
    return ", ".join(shown) + (" ..." if len(found) > 8 else "") or "nothing"


def _marks(
    found: list[tuple[int, int, str]],
    true: list[tuple[int, int, str]],
    labels: np.ndarray,
) -> list[dict[str, Any]]:
    """What a report marks: told spans, and true ones that none of them touches."""
    marks = [{"first": a, "last": b, "label": n, "right": (a, b, n) in true} for a, b, n in found]
    if len(marks) == int(
        (labels >= 0).sum()
    ):  # every position has a mark: only the wrong ones tell
        marks = [m for m in marks if not m["right"]]
    taken = {i for a, b, _ in found for i in range(a, b + 1)}
    missed = [(a, b, n) for a, b, n in true if not taken.intersection(range(a, b + 1))]
    return marks + [
        {"first": a, "last": b, "label": f"missed: {n}", "right": False} for a, b, n in missed
    ]
