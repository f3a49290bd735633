"""The simple models that transfer has to beat: TF-IDF and a linear model; a word by its looks and its
neighbours where each word has a label; candidate spans by their overlap with a question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Champion, Simple
from headstart.modalities import _simple
from headstart.modalities.text import _reader, _tagger, read

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse regularisation C that cross-validation chooses from."""
PENALTIES = tuple(np.logspace(-2, 3, 11))
MOST_TERMS = 100_000


def _words() -> TfidfVectorizer:
    """Word 1-2 grams; every word counts, however short, so that numbers and "I" are seen."""
    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, max_features=MOST_TERMS, token_pattern=r"(?u)\w+"
    )


def _characters() -> TfidfVectorizer:
    """Character 3-5 grams within words: endings, compounds, misspellings."""
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, max_features=MOST_TERMS
    )


def _texts(samples: Sequence[Sample], fields: Sequence[Field]) -> list[str]:
    return ["\n".join(read.plain(s[f.name]) for f in fields) for s in samples]


def _fit(
    features: Any,
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None,
) -> Simple:
    """Logistic regression with C by cross-validation, or ridge, on weighed terms."""
    model, found = _simple.linear(
        features.fit_transform(_texts(samples, fields)),
        np.asarray(targets),
        strengths=STRENGTHS,
        penalties=PENALTIES,
        iterations=1000,
        outcome=outcome,
        seed=seed,
        settings=settings,
    )
    return Simple(
        lambda some: _simple.said(model, features.transform(_texts(some, fields)), outcome), found
    )


def fit_words(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Word 1-2 grams. Targets (N,): class numbers 0..C-1, or numbers."""
    return _fit(_words(), samples, fields, targets, outcome, seed, settings)


def fit_characters(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Word 1-2 grams and character 3-5 grams. Targets as in `fit_words`."""
    both = FeatureUnion([("words", _words()), ("characters", _characters())])
    return _fit(both, samples, fields, targets, outcome, seed, settings)


def plain(samples: Sequence[Sample], fields: Sequence[Field]) -> Any:
    """TF-IDF of words, sparse (N, terms), rows of length one."""
    return _words().fit_transform(_texts(samples, fields))


PLAIN = "TF-IDF of words"
CHAMPIONS = (
    Champion("TF-IDF of words + linear model", fit_words),
    Champion("TF-IDF of words and characters + linear model", fit_characters),
    Champion(
        "logistic regression on word, shape, affixes, neighbours",
        _tagger.fit,
        each=True,
        outcomes=("label_each",),
    ),
    Champion(
        "logistic regression on overlap, length and looks of spans",
        _reader.fit,
        seeded=True,
        outcomes=("answer",),
    ),
)
