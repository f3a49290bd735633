"""A label for each position of a sample: entities on words, states of frames, kinds of nodes.

Each position gets a softmax over all labels, which reads that position's features alone; what stands around
it has gone into them. Labels such as B-person, I-person, O are scored by the F1 of whole spans, as CoNLL
and seqeval do, others by accuracy over positions; either score is taken apart by rows (delta method).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from headstart.core import spans
from headstart.core.evidence import Score
from headstart.core.problem import Problem
from headstart.core.ragged import fitted
from headstart.errors import DataError, nearest
from headstart.heads._linear import LinearHead, balance

STRENGTHS = tuple(float(c) for c in np.logspace(-5, 1, 7))
NONE = -1


@dataclass(frozen=True)
class Labels:
    """Names of the labels, sorted; a raw target is the sequence of a row's labels, None for none."""

    classes: tuple[str, ...]
    outcome: str = "label_each"

    @cached_property
    def score(self) -> Score:
        """F1 of spans where the labels tell spans, else accuracy."""
        scheme = spans.scheme(self.classes)
        return SCORE if scheme is None else _span_score(scheme)

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Raw targets (N,) -> (N, longest) int64, -1 where there is no label. Raises DataError."""
        place: dict[Any, int] = {name: k for k, name in enumerate(self.classes)} | {None: NONE}
        made = np.full((len(targets), max(map(len, targets), default=1)), NONE, np.int64)
        for row, raw in enumerate(targets):
            for position, name in enumerate(_sequence(raw)):
                if name not in place:
                    raise DataError(
                        f"The label '{name}' did not occur among the training rows. "
                        f"{nearest(str(name), self.classes)} Train again with examples of it, or drop it."
                    )
                made[row, position] = place[name]
        return made

    def decode(self, outputs: np.ndarray) -> list[list[str]]:
        """Probabilities (N, L, classes) -> the likeliest label of each position, row by row."""
        likely = _likeliest(outputs)
        return [[self.classes[k] for k in row[row >= 0]] for row in likely]

    def spans(self, outputs: np.ndarray) -> list[tuple[int, int, str, float]]:
        """Probabilities of one row (L, classes) -> first and last position, label and lowest probability
        of each span; of each position where the labels tell no spans."""
        outputs = outputs[np.isfinite(outputs).all(axis=-1)]
        likely = _likeliest(outputs)
        scheme = spans.scheme(self.classes)
        if scheme is None:
            found = [(i, i, self.classes[k]) for i, k in enumerate(likely)]
        else:
            found = spans.listed(likely, scheme)
        top = outputs.max(axis=-1, initial=0.0)
        return [(a, b, name, float(top[a : b + 1].min())) for a, b, name in found]

    def state(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}


def _sequence(raw: Any) -> Sequence[Any]:
    if isinstance(raw, (str, bytes)) or not isinstance(raw, Sequence):
        raise DataError(
            f"A row's labels came as {raw!r}; expected a list with one label for each position. Name a "
            "column of such lists, or choose the outcome classify."
        )
    return raw


def learn(targets: Sequence[Any]) -> Labels:
    """Labels of the training rows. Raises DataError for fewer than two."""
    names = sorted({str(name) for raw in targets for name in _sequence(raw) if name is not None})
    if len(names) < 2:
        raise DataError(
            f"All labelled positions have one label ({', '.join(names) or 'none at all'}), so there is "
            "nothing to tell apart. Check that the right target column is named."
        )
    return Labels(tuple(names))


def restore(state: Mapping[str, Any]) -> Labels:
    """The labels whose `state()` this is."""
    return Labels(tuple(state["classes"]))


def _likeliest(outputs: np.ndarray) -> np.ndarray:
    """(..., positions, classes) -> (..., positions) class numbers, -1 where the outputs are NaN."""
    known = np.isfinite(outputs).all(axis=-1)
    return np.where(known, np.nan_to_num(outputs).argmax(axis=-1), NONE)


def hits(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Accuracy over labelled positions by rows: (seeds, rows), whose mean is the accuracy.

    Args:
        outputs: (seeds, rows, positions, classes); NaN, or missing at the end: told nothing, not right.
        targets: (rows, positions) class numbers, -1 for no label.
    """
    told = _likeliest(fitted(outputs, targets.shape[1]))
    known = (targets != NONE).sum(axis=1)
    right = ((told == targets) & (targets != NONE)).sum(axis=2)
    share = right.sum(axis=1, keepdims=True) / known.sum()
    return np.asarray(share + len(targets) * (right - share * known) / known.sum())


def span_counts(
    scheme: spans.Scheme, outputs: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spans that are right, told and true: (seeds, rows), (seeds, rows), (rows,). A position that has no
    label ends a span and holds none."""
    told = _likeliest(fitted(outputs, targets.shape[1]))
    told = np.where(targets == NONE, NONE, told)
    found, true = spans.find(told, scheme), spans.find(targets, scheme)
    right = spans.right(found, true)
    return right.sum(-1), found.starts.sum(-1), true.starts.sum(-1)


def f1(scheme: spans.Scheme, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """F1 of spans, micro over types, by rows: (seeds, rows), whose mean is F1 and whose spread that of
    F1 = 2 right / (told + true) by its first derivatives. Arguments as for `hits`."""
    right, told, true = span_counts(scheme, outputs, targets)
    both = told + true
    total = np.maximum(both.sum(axis=1, keepdims=True), 1)
    score = 2 * right.sum(axis=1, keepdims=True) / total
    return np.asarray(score + len(targets) * (2 * right - score * both) / total)


def _span_score(scheme: spans.Scheme) -> Score:
    def undefined(targets: np.ndarray) -> str:
        found = spans.find(np.asarray(targets), scheme).starts.any()
        return "" if found else "no test row holds a span"

    words = "share of spans found and told rightly (F1 of whole spans)"
    return Score("span F1", words, partial(f1, scheme), points=True, undefined=undefined)


def _no_label(targets: np.ndarray) -> str:
    return "" if (np.asarray(targets) != NONE).any() else "no position of the test rows has a label"


SCORE = Score(
    "accuracy", "share of positions with the right label", hits, points=True, undefined=_no_label
)


def held(held_out: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities (N, L, classes) are given as they are."""
    return held_out


def losses(said: np.ndarray, labels: np.ndarray, targets: Labels) -> np.ndarray:
    """Log loss of every row, mean over its labelled positions, (N,), nats; 0 for a row without any."""
    known = labels != NONE
    given = np.take_along_axis(
        fitted(said, labels.shape[1]), np.where(known, labels, 0)[..., None], axis=2
    )[..., 0]
    each = -np.log(np.clip(np.nan_to_num(given), 1e-6, 1.0)) * known
    made: np.ndarray = each.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return made


class Head(LinearHead):
    """Features of positions (N, L, width) -> logits (N, L, labels)."""

    reads = "positions"
    asks = "UNITS"
    classed = True

    def __init__(self, width: int, targets: Labels, dropout: float = 0.0) -> None:
        super().__init__(width, len(targets.classes), dropout)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, mean over the labelled positions; positions beyond either end count nowhere."""
        return self.softened(outputs, targets, 0.0, None)

    def softened(
        self, outputs: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None
    ) -> Tensor:
        """Sum over the labelled positions by their number."""
        length = min(outputs.shape[1], targets.shape[1])
        kept, wanted = outputs[:, :length].flatten(0, 1), targets[:, :length].flatten()
        total = F.cross_entropy(
            *(kept, wanted, weights),
            ignore_index=NONE,
            reduction="sum",
            label_smoothing=smoothing,
        )
        return total / (wanted != NONE).sum().clamp(min=1)

    def balance(self, targets: np.ndarray) -> Tensor:
        """(labels,), from all labelled positions."""
        return balance(targets[targets != NONE], self.outputs)

    def problem(self, rows: int) -> Problem:
        """Multinomial logistic regression on single positions."""
        return Problem("softmax", self.outputs, STRENGTHS)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Logits (N, L, labels) -> probabilities, float32; NaN stays NaN."""
        logits = outputs.astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        np.exp(logits, out=logits)
        made: np.ndarray = (logits / logits.sum(axis=-1, keepdims=True)).astype(np.float32)
        return made
