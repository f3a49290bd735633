"""Answers by overlap: candidate spans weighed by a logistic regression, without any network.

After the first baseline on SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250, section 5): what a span shares
with the question, what stands around it, how long it is, how it looks, and how its looks go with the words
that the question begins with. Here a candidate is any run of words that neither begins nor ends with a mark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.core import answers
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Simple
from headstart.modalities.text import read

NEGATIVES = 60  # candidates of a training row that are not the answer
AROUND = 6  # words on either side that count as near
ASKING = 12  # commonest first words of questions that are told apart
LONGEST = 0.98  # share of training answers that are no longer than the longest candidate
STRENGTH = 1.0
_SHAPES = 5
_LENGTHS = np.array([1, 2, 3, 4, 6, 9, 14])


def fit(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Targets as `core/answers.py` encodes them; predictions (N, 3)."""
    rng = np.random.default_rng(seed)
    inside = targets[:, 1:3].astype(np.int64)
    most = int(np.ceil(np.quantile(inside[:, 1] - inside[:, 0] + 1, LONGEST)))
    told = [_texts(s, fields) for s in samples]
    looks = _Looks(told, most)
    features, labels = [], []
    for (question, text), (first, last) in zip(told, inside, strict=True):
        spans, table = looks(question, text)
        true = np.flatnonzero((spans == (first, last)).all(axis=1))
        others = rng.permutation(np.setdiff1d(np.arange(len(spans)), true))[:NEGATIVES]
        if len(true):
            features.append(table[np.concatenate([true, others])])
            labels += [1] + [0] * len(others)
    if not features or len(set(labels)) < 2:
        return Simple(lambda some: _blind(some, fields), {})
    scaler = StandardScaler().fit(np.concatenate(features))
    model = LogisticRegression(C=STRENGTH, max_iter=500)
    model.fit(scaler.transform(np.concatenate(features)), labels)
    weight = model.coef_[0] / scaler.scale_
    return Simple(lambda some: _said(looks, weight, some, fields), {})


def _texts(sample: Sample, fields: Sequence[Field]) -> tuple[str, str]:
    return str(sample[fields[0].name]), str(sample[fields[1].name])


def _blind(samples: Sequence[Sample], fields: Sequence[Field]) -> np.ndarray:
    """The first word, where nothing was learned."""
    return np.tile([0.0, 0.0, 0.0], (len(samples), 1))


def _said(
    looks: _Looks, weight: np.ndarray, samples: Sequence[Sample], fields: Sequence[Field]
) -> np.ndarray:
    """The likeliest candidate of each row, its probability by a softmax over all of them."""
    made = np.zeros((len(samples), 3))
    for row, sample in zip(made, samples, strict=True):
        spans, table = looks(*_texts(sample, fields))
        if len(spans):
            logits = table @ weight
            best = int(logits.argmax())
            row[:] = *spans[best], 1.0 / np.exp(logits - logits[best]).sum()
    return made


class _Looks:
    """Candidates of a text and their features, with what is rare in the training texts.

    Args:
        told: questions and texts of training.
        most: words of the longest candidate.
    """

    def __init__(self, told: Sequence[tuple[str, str]], most: int) -> None:
        self.most = most
        texts = list({text for _, text in told})
        seen = Counter(w for text in texts for w in set(answers.words(text)))
        self.rare = {w: float(np.log((1 + len(texts)) / (1 + n))) for w, n in seen.items()}
        self.unseen = float(np.log(1 + len(texts)))
        begins = Counter(_asking(question) for question, _ in told)
        self.asking = {w: k + 1 for k, (w, _) in enumerate(begins.most_common(ASKING))}

    def __call__(self, question: str, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Candidates (K, 2), first and last word, and their features (K, width)."""
        places = read.places(text)
        words = [text[a:b] for a, b in places]
        low = [w.lower() for w in words]
        kinds = np.array([_shape(w) for w in words])
        first, more = np.divmod(np.arange(len(words) * self.most), self.most)
        last = first + more
        kept = last < len(words)
        first, last = first[kept], last[kept]
        kept = (kinds[first] > 0) & (kinds[last] > 0)
        first, last = first[kept], last[kept]
        asked = set(answers.words(question))
        worth = np.array([self.rare.get(w, self.unseen) for w in low]) * (kinds > 0)
        shared = worth * np.array([w in asked for w in low])
        columns = [*self._overlap(words, worth, shared, first, last), *_lengths(first, last)]
        columns += self._asked(question, kinds, first, last)
        return np.stack([first, last], axis=1), np.stack(columns, axis=1)

    def _overlap(
        self, words: list[str], worth: np.ndarray, shared: np.ndarray, *ends: np.ndarray
    ) -> list[np.ndarray]:
        """What the span, its neighbours and its sentence share with the question."""
        first, last = ends
        sums = {k: np.concatenate([[0.0], np.cumsum(v)]) for k, v in (("w", worth), ("s", shared))}

        def between(kind: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return sums[kind][np.minimum(b, len(words))] - sums[kind][np.maximum(a, 0)]

        stops = np.array([w in ".!?" for w in words], bool)
        number = np.concatenate([[0], np.cumsum(stops)[:-1]])
        begins = np.searchsorted(number, number, side="left")
        ends_ = np.searchsorted(number, number, side="right")
        own, held = between("s", first, last + 1), between("w", first, last + 1)
        sentence = between("s", begins[first], ends_[first])
        best = max(float(sentence.max(initial=0.0)), 1e-9)
        return [
            own / np.maximum(held, 1e-9),
            held,
            between("s", first - AROUND, first),
            between("s", last + 1, last + 1 + AROUND),
            sentence - own,
            (sentence - own) / best,
            (sentence >= best).astype(float),
            (number[first] != number[last]).astype(float),
            first / len(words),
        ]

    def _asked(
        self, question: str, kinds: np.ndarray, first: np.ndarray, last: np.ndarray
    ) -> list[np.ndarray]:
        """How the span looks, alone and with what the question begins with."""
        asking = self.asking.get(_asking(question), 0)
        looks = [kinds[first] == k for k in range(1, _SHAPES)]
        looks += [kinds[last] == k for k in range(1, _SHAPES)]
        plain = [v.astype(float) for v in looks]
        zero = np.zeros(len(first))
        crossed = [
            v if k == asking else zero for k in range(1, ASKING + 1) for v in plain[: _SHAPES - 1]
        ]
        return plain + crossed


def _lengths(first: np.ndarray, last: np.ndarray) -> list[np.ndarray]:
    """Which of some steps of length a span has."""
    step = np.searchsorted(_LENGTHS, last - first + 1, side="left")
    return [(step == k).astype(float) for k in range(len(_LENGTHS) + 1)]


def _asking(question: str) -> str:
    """The first two words of a question, as "how many"."""
    return " ".join(question.lower().split()[:2])


def _shape(word: str) -> int:
    """0 a mark, 1 with a digit, 2 with a capital first, 3 short, 4 others."""
    if not any(c.isalnum() for c in word):
        return 0
    if any(c.isdigit() for c in word):
        return 1
    return 2 if word[0].isupper() else 3 if len(word) < 4 else 4
