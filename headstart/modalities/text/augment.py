"""Variations of texts by name, after EDA (Wei and Zou 2019, arXiv:1901.11196); `typos` after Belinkov and
Bisk 2018 (arXiv:1711.02173).

Each takes the words of a text, a magnitude and a generator; shares are those at magnitude 1, times it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.core.augment import Policy, Variation, Variations

SHARE = 0.1
MOST = 0.5  # of the words, whatever the magnitude
LEAST_WORDS = 3  # shorter texts stay as they are

Change = Callable[[list[str], float, np.random.Generator, str], list[str]]


def _hit(words: list[str], size: float, rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(words)) < min(SHARE * size, MOST)


def _word_dropout(words: list[str], size: float, rng: np.random.Generator, blank: str) -> list[str]:
    gone = _hit(words, size, rng)
    return [w for w, out in zip(words, gone, strict=True) if not out] or words


def _word_mask(words: list[str], size: float, rng: np.random.Generator, blank: str) -> list[str]:
    hidden = _hit(words, size, rng)
    return [blank if out else w for w, out in zip(words, hidden, strict=True)]


def _word_swap(words: list[str], size: float, rng: np.random.Generator, blank: str) -> list[str]:
    words = list(words)
    for _ in range(rng.binomial(len(words), min(SHARE * size, MOST))):
        i = int(rng.integers(len(words) - 1)) if len(words) > 1 else 0
        words[i : i + 2] = words[i : i + 2][::-1]
    return words


def _word_repeat(words: list[str], size: float, rng: np.random.Generator, blank: str) -> list[str]:
    twice = _hit(words, size, rng)
    return [w for w, again in zip(words, twice, strict=True) for _ in range(1 + again)]


def _typos(words: list[str], size: float, rng: np.random.Generator, blank: str) -> list[str]:
    wrong = _hit(words, size, rng)
    return [_slip(w, rng) if slip else w for w, slip in zip(words, wrong, strict=True)]


def _slip(word: str, rng: np.random.Generator) -> str:
    """Two neighbouring letters exchanged, neither of them the first."""
    if len(word) < 3:
        return word
    i = int(rng.integers(1, len(word) - 1))
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


KINDS: dict[str, Change] = {
    "word_dropout": _word_dropout,
    "word_swap": _word_swap,
    "word_mask": _word_mask,
    "word_repeat": _word_repeat,
    "typos": _typos,
}
VARIATIONS = {
    "word_dropout": Variation("a tenth of the words left out"),
    "word_swap": Variation("neighbouring words swapped, as many times as a tenth of the words"),
    "word_mask": Variation("a tenth of the words made the tokenizer's unknown one"),
    "word_repeat": Variation("a tenth of the words said twice"),
    "typos": Variation("two letters exchanged in a tenth of the words"),
}
IN_PLACE: Variations = {name: VARIATIONS[name] for name in ("word_mask", "typos")}
"""Those that leave every word where it is."""
TOKENS: Variations = {"word_mask": VARIATIONS["word_mask"]}
"""Those that tokens can be varied by, where places of letters have to stay."""


def applied(words: list[str], policy: Policy, rng: np.random.Generator, *, blank: str) -> list[str]:
    """The words with what the policy draws; texts of fewer than `LEAST_WORDS` as they are.

    Args:
        blank: what stands for a word that cannot be read.
    """
    steps = policy.draw(rng)
    if len(words) < LEAST_WORDS:
        return words
    for name, size in steps:
        words = KINDS[name](words, size, rng, blank)
    return words


def hidden(count: int, policy: Policy, rng: np.random.Generator) -> np.ndarray:
    """(count,) of bool: tokens that are hidden, where that is all that can be done."""
    made = np.zeros(count, bool)
    for _, size in policy.draw(rng):
        made |= rng.random(count) < min(SHARE * size, MOST)
    return made
