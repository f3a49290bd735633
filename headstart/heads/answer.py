"""The span of a passage that answers a question: a start and an end, told by two linear maps of each word.

As in BERT (Devlin et al. 2018, arXiv:1810.04805) the start is a softmax over the words of the passage, the
end another, and of all spans that are not too long the likeliest is told. Training minimises these two
cross-entropies. Solved on frozen features, each word is instead asked on its own whether an answer begins, or
ends, there (two logistic regressions): convex, and the same ranking of words where it fits; the softmax is
put over its logits afterwards. The score is the F1 of words after SQuAD's normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.core import answers
from headstart.core.answers import Answer
from headstart.core.evidence import Score
from headstart.core.head import Dropout
from headstart.core.head import Head as BaseHead
from headstart.core.problem import Problem, Solution
from headstart.errors import ContractError, DataError

STRENGTHS = tuple(float(c) for c in np.logspace(-5, -1, 5))
NONE = -1
USUAL = 0.99  # share of training answers that are no longer than the longest that is told
MOST = 30  # words of an answer, where nothing was learned


@dataclass(frozen=True)
class Spans:
    """How long an answer may be; a raw target is an `Answer`.

    Attributes:
        most: words of the longest span that is told.
    """

    most: int = MOST
    classes: tuple[str, ...] = ()
    outcome: str = "answer"

    def encode(self, targets: Sequence[Any]) -> np.ndarray:
        """Raw targets (N,) -> (N, longest) float32, see `core/answers.py`. Raises DataError."""
        return answers.encoded([_checked(t) for t in targets])

    def decode(self, outputs: np.ndarray) -> list[tuple[int, int]]:
        """Predictions (N, 3) -> first and last unit, row by row."""
        return [(int(first), int(last)) for first, last, _ in outputs]

    def held(self, held_out: np.ndarray) -> np.ndarray:
        """Held-out chances (N, L, 2) that an answer begins and ends at a word -> predictions (N, 3)."""
        chance = np.clip(held_out.astype(np.float64), 1e-12, 1 - 1e-12)
        return likeliest(np.log(chance) - np.log1p(-chance), self.most)

    def state(self) -> dict[str, Any]:
        return {"most": self.most}


def _checked(target: Any) -> Answer:
    if isinstance(target, Answer):
        return target
    raise DataError(
        f"A target came as {str(target)[:60]!r}; expected the place of an answer in its text. Name columns "
        "of questions, texts and answers, or choose another outcome."
    )


def learn(targets: Sequence[Any]) -> Spans:
    """The usual length of the training answers. Raises DataError where all of them are the same."""
    known = [_checked(t) for t in targets]
    if len(set(known)) < 2:
        raise DataError(
            "All training rows have the same answer at the same place of the same text, so there is nothing "
            "to learn. Check that the right columns are named."
        )
    sizes = [last - first + 1 for first, last in (t.inside for t in known)]
    return Spans(math.ceil(np.quantile(sizes, USUAL)))


def restore(state: Mapping[str, Any]) -> Spans:
    """The targets whose `state()` this is."""
    return Spans(int(state["most"]))


def likeliest(logits: np.ndarray, most: int) -> np.ndarray:
    """The likeliest span of each row, (N, 3), among those of at most `most` units; its probability is among
    these too.

    Args:
        logits: (N, L, 2) of starts and ends, NaN where there is no unit.
    """
    made = np.zeros((len(logits), 3))
    for row, both in zip(made, logits.astype(np.float64), strict=True):
        there = np.flatnonzero(np.isfinite(both).all(axis=1))
        if not len(there):
            continue
        start, end = both[there].T
        ends = np.concatenate([end, np.full(most - 1, -np.inf)])
        spans = start[:, None] + np.lib.stride_tricks.sliding_window_view(ends, most)
        first, more = np.unravel_index(int(spans.argmax()), spans.shape)
        top = spans[first, more]
        row[:] = there[first], there[first + more], 1.0 / np.exp(spans - top).sum()
    return made


def _scored(measure: Callable[[str, str], float]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Outputs (seeds, rows, 3) and encoded targets (rows, ...) -> (seeds, rows)."""

    def rows(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        known = [answers.decoded(row) for row in targets]
        return np.array(
            [
                [measure(t.cut(*o[:2]), t.text) for o, t in zip(seed, known, strict=True)]
                for seed in outputs
            ]
        )

    return rows


SCORE = Score(
    "word F1",
    "overlap of words between its answers and the true ones (F1 of words)",
    _scored(answers.f1),
    share=True,
    points=True,
)


def held(held_out: np.ndarray) -> np.ndarray:
    """As `Spans.held`, with the longest span that is told where nothing was learned."""
    return Spans().held(held_out)


def losses(said: np.ndarray, labels: np.ndarray, targets: Spans) -> np.ndarray:
    """1 - F1 of every row, (N,): a prediction tells no probability of other spans than its own."""
    made: np.ndarray = 1.0 - SCORE.rows(said[None], labels)[0]
    return made


class Head(BaseHead):
    """Features of positions (N, L, width) -> logits of starts and ends (N, L, 2).

    No bias: it would move all words alike, which a softmax over them does not see.
    """

    reads = "positions"
    asks = "PASSAGE"

    def __init__(self, width: int, targets: Spans, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.outputs, self.targets = width, 2, targets
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width, 2, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, features: Tensor) -> Tensor:
        if features.ndim != 3 or features.shape[-1] != self.width:
            raise ContractError(
                f"The head expects features (N, positions, {self.width}); {tuple(features.shape)} came."
            )
        made: Tensor = self.linear(self.dropout(features))
        return made

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropies of start and end over the units of each row, mean of both and over rows."""
        counts, first, last = targets[:, :3].long().unbind(1)
        there = torch.arange(outputs.shape[1], device=outputs.device)[None] < counts[:, None]
        logits = outputs.masked_fill(~there[..., None], -math.inf)
        both = (F.cross_entropy(logits[..., k], t) for k, t in enumerate((first, last)))
        return torch.stack(list(both)).mean()

    def each(self, targets: np.ndarray) -> np.ndarray:
        """Encoded targets (N, ...) -> (N, L, 2) int64: 1 where an answer begins and where it ends, 0 at other
        units, -1 behind a row's end."""
        counts, first, last = targets[:, :3].astype(np.int64).T
        places = np.arange(int(counts.max(initial=1)))[None]
        made = np.stack([places == first[:, None], places == last[:, None]], axis=2).astype(
            np.int64
        )
        made[places >= counts[:, None]] = NONE
        return made

    def problem(self, rows: int) -> Problem:
        """A logistic regression of starts and one of ends, on single units."""
        return Problem("sigmoids", 2, STRENGTHS)

    def settle(self, solution: Solution) -> None:
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(solution.weight))

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Logits (N, L, 2) -> the likeliest spans (N, 3)."""
        return likeliest(outputs, self.targets.most)
