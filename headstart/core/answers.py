"""What data, heads, simple models and checks share about answers that are spans of a passage.

A prediction is a row (3,): first and last unit of the span, both inside, and its probability. An encoded
target is a row of numbers that also holds the passage, so that a score can compare texts: how many units
there are, the first and the last of the answer, its first character and the one behind its last, first
character and the one behind the last of every unit, then the passage's characters by their numbers in
Unicode; NaN behind the end.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONTEXT = 5
"""Numbers before the units' places."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_DROPPED = {ord(mark): None for mark in string.punctuation}


@dataclass(frozen=True, order=True)
class Answer:
    """A raw target.

    Attributes:
        units: first character and the one behind the last of each unit (word) of the passage, in order.
        begin, end: the answer's first character, and the one behind its last.
    """

    passage: str
    units: tuple[tuple[int, int], ...]
    begin: int
    end: int

    @property
    def text(self) -> str:
        return self.passage[self.begin : self.end]

    @property
    def inside(self) -> tuple[int, int]:
        """First and last unit that the answer touches."""
        held = [i for i, (a, b) in enumerate(self.units) if a < self.end and b > self.begin]
        return (held[0], held[-1]) if held else (0, 0)

    def cut(self, first: float, last: float) -> str:
        """The passage from one unit to another."""
        return self.passage[self.units[int(first)][0] : self.units[int(last)][1]]


def encoded(answers: Sequence[Answer]) -> np.ndarray:
    """(N, longest) float32, which holds whole numbers to 16 million exactly."""
    rows = [_row(one) for one in answers]
    made = np.full((len(rows), max(map(len, rows), default=CONTEXT)), np.nan, np.float32)
    for row, values in zip(made, rows, strict=True):
        row[: len(values)] = values
    return made


def _row(one: Answer) -> np.ndarray:
    head = [len(one.units), *one.inside, one.begin, one.end]
    codes = np.frombuffer(one.passage.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.concatenate([head, np.asarray(one.units, float).reshape(-1), codes])


def decoded(row: np.ndarray) -> Answer:
    """`encoded` reversed, of one row."""
    known = row[np.isfinite(row)].astype(np.int64)
    behind = CONTEXT + 2 * int(known[0])
    places = known[CONTEXT:behind].reshape(-1, 2).tolist()
    passage = known[behind:].astype(np.uint32).tobytes().decode("utf-32-le", "surrogatepass")
    return Answer(passage, tuple((a, b) for a, b in places), int(known[3]), int(known[4]))


def words(text: str) -> list[str]:
    """Words as SQuAD compares them (Rajpurkar et al. 2016, arXiv:1606.05250): small letters, without
    punctuation and the English articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_DROPPED)).split()


def f1(told: str, true: str) -> float:
    """F1 of the words of two texts, repeated ones counted as often as they come."""
    said, wanted = words(told), words(true)
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))


def exact(told: str, true: str) -> float:
    """1 where the words are the same, else 0."""
    return float(words(told) == words(true))
