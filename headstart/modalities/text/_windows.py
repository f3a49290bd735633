"""Long texts in overlapping windows: a question with each piece of its text, one behind another in a row.

As BERT reads SQuAD (Devlin et al. 2018, arXiv:1810.04805): every window holds the whole question, and
a word is read in the window where it has the most text on its shorter side. A row is then one sequence of
tokens in which `windows` tells the pieces apart; `each_apart` lets a network see one piece at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core.network import MASK
from headstart.errors import BadRow

WINDOWS = "windows"  # (N, L) int64, number of each token's window in its row
OVERLAP = 3  # one part in so many of a window is shared with the next


def cut(
    encoding: Any, ids: np.ndarray, places: Sequence[tuple[int, int]], *, most: int
) -> tuple[dict[str, np.ndarray], int]:
    """A question and its text as windows of at most `most` tokens.

    Args:
        encoding: of the pair, whole; the question comes first.
        ids: (tokens,) int64, the encoding's own, or with some tokens dropped.
        places: first character of every word of the text, and the one behind its last.

    Returns:
        Arrays (L,): "ids", "types", "windows", and "starts", how many words are read at each token; and how
        many tokens of the question were left out, for one that fills more than half a window.

    Raises:
        BadRow: the text has no word or no token.
    """
    side = np.array([-1 if s is None else s for s in encoding.sequence_ids])
    types = np.asarray(encoding.type_ids, np.int64)
    text = np.flatnonzero(side == 1)
    if not len(text) or not places:
        raise BadRow("there is no word in the text", "write the text or drop the row")
    front, back = np.arange(text[0]), np.arange(text[-1] + 1, len(ids))
    lost = max(0, len(front) + len(back) - most // 2)
    asked = front[side[front] == 0]
    front = np.setdiff1d(front, asked[max(1, len(asked) - lost) :])
    room = most - len(front) - len(back)
    begins = _begins(len(text), room)
    words = _words(encoding, text, places)
    counts = np.zeros((len(begins), len(text)), np.int64)
    np.add.at(counts, (_window_of(words, begins, room), words), 1)
    parts = []
    for number, begin in enumerate(begins):
        inside = text[begin : begin + room]
        tokens = np.concatenate([front, inside, back])
        starts = np.zeros(len(tokens), np.int64)
        starts[len(front) : len(front) + len(inside)] = counts[number, begin : begin + room]
        parts.append((ids[tokens], types[tokens], np.full(len(tokens), number), starts))
    names = ("ids", "types", WINDOWS, "starts")
    made = {n: np.concatenate(p) for n, p in zip(names, zip(*parts, strict=True), strict=True)}
    return made, min(lost, max(0, len(asked) - 1))


def _begins(tokens: int, room: int) -> np.ndarray:
    """First token of every window; the last window ends with the text, so that all are of one length."""
    if tokens <= room:
        return np.zeros(1, np.int64)
    step = max(1, room - room // OVERLAP)
    return np.append(np.arange(0, tokens - room, step), tokens - room)


def _words(encoding: Any, text: np.ndarray, places: Sequence[tuple[int, int]]) -> np.ndarray:
    """(words,) the token, counted in the text, at which each word is read: the first that reaches into it."""
    ends = np.maximum.accumulate([encoding.offsets[t][1] for t in text])
    found = np.searchsorted(ends, [begin for begin, _ in places], side="right")
    return np.minimum(found, len(text) - 1)


def _window_of(tokens: np.ndarray, begins: np.ndarray, room: int) -> np.ndarray:
    """(words,) the window in which a token has most text on its shorter side."""
    before = tokens[None] - begins[:, None]
    shorter = np.minimum(before, room - 1 - before)
    return np.asarray(shorter.argmax(axis=0))


def each_apart(
    run: Callable[[Mapping[str, Tensor]], Tensor], state: Mapping[str, Tensor]
) -> Tensor:
    """What `run` gives of a state (N, L, ...) with each window as a row of its own, together again."""
    mask, windows = state[MASK], state[WINDOWS]
    counts = (windows * mask).amax(1) + 1
    first = torch.cumsum(counts, 0) - counts
    window = (first[:, None] + windows)[mask]  # (tokens,) ascending
    _, sizes = torch.unique_consecutive(window, return_counts=True)
    starts = torch.cumsum(sizes, 0) - sizes
    place = torch.arange(len(window), device=mask.device) - starts[window]
    shape = (len(sizes), int(sizes.max()))
    apart = {MASK: mask.new_zeros(shape)}
    apart[MASK][window, place] = True
    for key, tensor in state.items():
        if key in (MASK, WINDOWS) or tensor.shape[:2] != mask.shape:
            continue
        apart[key] = tensor.new_zeros((*shape, *tensor.shape[2:]))
        apart[key][window, place] = tensor[mask]
    said = run(apart)
    whole = said.new_zeros((*mask.shape, *said.shape[2:]))
    whole[mask] = said[window, place]
    return whole
