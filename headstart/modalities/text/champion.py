"""The simple models that transfer has to beat: TF-IDF and a linear model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Champion

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse regularisation C that cross-validation chooses from."""
PENALTIES = tuple(np.logspace(-2, 3, 11))
FOLDS = 3
MOST_TERMS = 100_000

Predict = Callable[[Sequence[Sample]], np.ndarray]


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
    return ["\n".join(str(s[f.name]) for f in fields) for s in samples]


def _linear(features: Any, targets: np.ndarray, outcome: str, seed: int) -> Pipeline:
    """Unfitted: features, then logistic regression with C by cross-validation, or ridge."""
    if outcome == "regress":
        return make_pipeline(features, RidgeCV(alphas=PENALTIES))
    model = LogisticRegression(max_iter=1000)
    rarest = int(np.bincount(targets.astype(int)).min())
    if rarest < 2:
        return make_pipeline(features, model)
    folds = StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=seed)
    search = GridSearchCV(model, {"C": STRENGTHS}, cv=folds, scoring="neg_log_loss")
    return make_pipeline(features, search)


def _fit(
    make: Callable[[], Any],
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
) -> Predict:
    targets = np.asarray(targets)
    model = _linear(make(), targets, outcome, seed)
    model.fit(_texts(samples, fields), targets)

    def predict(rows: Sequence[Sample]) -> np.ndarray:
        """Samples (N) -> probabilities (N, classes), or numbers (N,)."""
        texts = _texts(rows, fields)
        values = model.predict(texts) if outcome == "regress" else model.predict_proba(texts)
        return np.asarray(values)

    return predict


def fit_words(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
) -> Predict:
    """Word 1-2 grams. Targets (N,): class numbers 0..C-1, or numbers."""
    return _fit(_words, samples, fields, targets, outcome=outcome, seed=seed)


def fit_characters(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
) -> Predict:
    """Word 1-2 grams and character 3-5 grams. Targets as in `fit_words`."""

    def both() -> FeatureUnion:
        return FeatureUnion([("words", _words()), ("characters", _characters())])

    return _fit(both, samples, fields, targets, outcome=outcome, seed=seed)


CHAMPIONS = (
    Champion("TF-IDF of words + linear model", fit_words),
    Champion("TF-IDF of words and characters + linear model", fit_characters),
)
