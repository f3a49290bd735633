"""Spans of labels such as B-person, I-person, O: where they are, and how many of them are right.

Counted as in CoNLL-2000 (Tjong Kim Sang, Buchholz 2000) and as seqeval does: a span is right where type,
beginning and end are. An I that follows no span of its type begins one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OUTSIDE = "O"
_BEGIN, _INSIDE = "B-", "I-"


@dataclass(frozen=True)
class Scheme:
    """What the numbers of classes mean.

    Attributes:
        types: names of the types of spans, sorted.
        kind: (classes + 1,) number of each class's type, -1 outside; the last is for "no class".
        begins: (classes + 1,) whether the class begins a span wherever it stands.
    """

    types: tuple[str, ...]
    kind: np.ndarray
    begins: np.ndarray


@dataclass(frozen=True)
class Found:
    """Spans of some rows of labels.

    Attributes:
        starts: (..., positions) bool, true where a span begins.
        kinds: (..., positions) type at each position, -1 outside.
        ends: (..., positions) for each start the position behind the span's last; elsewhere of no
            meaning.
    """

    starts: np.ndarray
    kinds: np.ndarray
    ends: np.ndarray


def scheme(classes: Sequence[str]) -> Scheme | None:
    """The scheme of class names, or None where they are plain labels."""
    marked = [name for name in classes if name != OUTSIDE]
    fits = all(len(n) > 2 and n[:2] in (_BEGIN, _INSIDE) for n in marked)
    if not marked or not fits or not any(n.startswith(_BEGIN) for n in marked):
        return None
    types = tuple(sorted({name[2:] for name in marked}))
    kind = [types.index(n[2:]) if n != OUTSIDE else -1 for n in classes]
    begins = [name.startswith(_BEGIN) for name in classes]
    return Scheme(types, np.array([*kind, -1]), np.array([*begins, False]))


def find(labels: np.ndarray, known: Scheme) -> Found:
    """Spans in class numbers (..., positions); -1 stands for no class, and outside of all spans."""
    kinds, begins = known.kind[labels], known.begins[labels]
    before = np.concatenate([np.full_like(kinds[..., :1], -1), kinds[..., :-1]], axis=-1)
    starts = (kinds >= 0) & (begins | (before != kinds))
    length = labels.shape[-1]
    stops = np.where(starts | (kinds < 0), np.arange(length), length)
    nearest = np.minimum.accumulate(stops[..., ::-1], axis=-1)[..., ::-1]
    ends = np.concatenate([nearest[..., 1:], np.full_like(nearest[..., :1], length)], axis=-1)
    return Found(starts, kinds, ends)


def right(told: Found, true: Found) -> np.ndarray:
    """(..., positions) true where a told span begins that is right."""
    both: np.ndarray = told.starts & true.starts
    both &= (told.kinds == true.kinds) & (told.ends == true.ends)
    return both


def listed(labels: np.ndarray, known: Scheme) -> list[tuple[int, int, str]]:
    """Spans of one row, (positions,) class numbers: first, last and type of each, in order."""
    found = find(labels, known)
    return [
        (int(i), int(found.ends[i]) - 1, known.types[found.kinds[i]])
        for i in np.flatnonzero(found.starts)
    ]


def names(spans: Sequence[tuple[int, int, str]], length: int) -> list[str]:
    """`listed` reversed: a name for each of `length` positions."""
    made = [OUTSIDE] * length
    for first, last, kind in spans:
        made[first : last + 1] = [_BEGIN + kind, *[_INSIDE + kind] * (last - first)]
    return made
