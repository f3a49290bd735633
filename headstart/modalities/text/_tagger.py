"""Labels of words by their looks and neighbours: the classic tagger before networks, without a chain.

Features as in Ratnaparkhi 1996 ("A maximum entropy model for part-of-speech tagging") and the CoNLL-2003
systems: word, shape, prefixes, suffixes, and the words around; a logistic regression on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Simple
from headstart.modalities import _simple
from headstart.modalities.text import read

STRENGTHS = (0.3, 1.0, 3.0, 10.0)
CHOOSE = 10_000  # words on which C is chosen
AROUND = 2
AFFIXES = (1, 2, 3, 4)
SEEN = 2  # times that a feature must occur in training


def shape(word: str) -> str:
    """Capitals as X, small letters as x, digits as 0, the rest as it is; runs become one."""
    marks = [
        "X" if c.isupper() else "x" if c.islower() else "0" if c.isdigit() else c for c in word
    ]
    return re.sub(r"(.)\1+", r"\1", "".join(marks))


def features(words: Sequence[str]) -> list[list[str]]:
    """Names of the features of each word."""
    low = [w.casefold() for w in words]
    shapes = [shape(w) for w in words]
    return [list(_one(low, shapes, i)) for i in range(len(words))]


def _one(low: Sequence[str], shapes: Sequence[str], place: int) -> Iterator[str]:
    yield "always"
    yield f"first={place == 0}"
    for offset in range(-AROUND, AROUND + 1):
        there = 0 <= place + offset < len(low)
        yield f"{offset}:w={low[place + offset] if there else ''}"
        yield f"{offset}:s={shapes[place + offset] if there else ''}"
    for length in AFFIXES:
        yield f"prefix={low[place][:length]}"
        yield f"suffix={low[place][-length:]}"


def _itself(names: list[str]) -> list[str]:
    return names


def fit(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Targets (N, L): class numbers 0..C-1, -1 where there is no label; C is chosen on held-out texts
    among the first 10,000 words.

    The predictions are over the classes that occur in `targets`.
    """
    lists = [read.words(s[fields[0].name]) for s in samples]
    kept = [
        (i, j) for i, words in enumerate(lists) for j in range(min(len(words), targets.shape[1]))
    ]
    kept = [(i, j) for i, j in kept if targets[i, j] >= 0]
    made = [features(words) for words in lists]
    truth = np.array([targets[i, j] for i, j in kept])
    model = make_pipeline(
        CountVectorizer(analyzer=_itself, min_df=SEEN, binary=True),
        LogisticRegression(max_iter=200, tol=1e-3),
    )
    rows, groups = [made[i][j] for i, j in kept], np.array([i for i, _ in kept])
    if settings is not None:
        model.set_params(**settings).fit(rows, truth)
        return Simple(lambda some: _said(model, some, fields), settings)
    grid = {"logisticregression__C": STRENGTHS}
    folds = min(_simple.FOLDS, len(np.unique(groups[:CHOOSE])))
    if folds < 2 or len(np.unique(truth[:CHOOSE])) < 2:
        model.fit(rows, truth)
        return Simple(lambda some: _said(model, some, fields), {})
    search = GridSearchCV(model, grid, cv=GroupKFold(folds), scoring="accuracy", refit=False)
    search.fit(rows[:CHOOSE], truth[:CHOOSE], groups=groups[:CHOOSE])
    model.set_params(**search.best_params_).fit(rows, truth)
    return Simple(lambda some: _said(model, some, fields), dict(search.best_params_))


def _said(model: Any, samples: Sequence[Sample], fields: Sequence[Field]) -> np.ndarray:
    """(N, longest, classes) probabilities, NaN behind a text's end."""
    lists = [features(read.words(s[fields[0].name])) for s in samples]
    lengths = np.array([len(words) for words in lists])
    flat = model.predict_proba([names for words in lists for names in words])
    whole = np.full((len(lists), max(1, int(lengths.max(initial=1))), flat.shape[1]), np.nan)
    whole[np.arange(whole.shape[1])[None] < lengths[:, None]] = flat
    return whole
