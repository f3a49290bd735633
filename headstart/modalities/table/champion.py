"""The simple models that transfer has to beat: boosted trees, and a linear model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Champion
from headstart.modalities.table import batch

TREES = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (7, 31)}
"""What cross-validation chooses from for the trees."""
MOST_TREES = 200
PATIENCE = 10
FEW_ROWS = 200
"""Below this many rows none are held out for early stopping: the number of trees is fixed."""
FEW_TREES = 100
STRENGTHS = tuple(np.logspace(-3, 2, 6))
PENALTIES = tuple(np.logspace(-2, 4, 13))
FOLDS = 3
ALONE_BELOW = 20_000
"""Rows below which one thread is faster: threads that wait for each other cost up to 15 times more
where the cores are shared."""
MOST_LEVELS = 250
"""Levels of a column that the trees can take as categories."""

Predict = Callable[[Sequence[Sample]], np.ndarray]


def _folds(targets: np.ndarray, outcome: str, seed: int) -> Any:
    """Folds that every class reaches, or None where there are too few rows."""
    rarest = (
        len(targets) // 2 if outcome == "regress" else int(np.bincount(targets.astype(int)).min())
    )
    if rarest < 2:
        return None
    kind = KFold if outcome == "regress" else StratifiedKFold
    return kind(min(FOLDS, rarest), shuffle=True, random_state=seed)


class _Columns:
    """Raw cells to what trees read: numbers as they are, levels as codes, gaps as NaN."""

    def __init__(self, samples: Sequence[Sample], fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.codes: dict[str, dict[str, int]] = {}
        for field in self.fields:
            if field.kind != "number":
                seen = [s[field.name] for s in samples if s[field.name] is not None]
                levels, counts = np.unique(np.array(seen, object), return_counts=True)
                kept = levels[np.argsort(-counts, kind="stable")][:MOST_LEVELS]
                self.codes[field.name] = {str(v): i for i, v in enumerate(kept)}

    @property
    def categorical(self) -> list[bool]:
        return [f.name in self.codes for f in self.fields]

    def matrix(self, samples: Sequence[Sample]) -> np.ndarray:
        """(N, fields) float64; a level never seen is a gap."""
        return np.array([[self._cell(s, f) for f in self.fields] for s in samples], float)

    def _cell(self, sample: Sample, field: Field) -> float:
        value = sample[field.name]
        if field.name in self.codes:
            value = self.codes[field.name].get(value) if value is not None else None
        return float("nan") if value is None else float(value)


def fit_trees(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
) -> Predict:
    """Histogram gradient boosting (LightGBM's kind) with early stopping; gaps are read natively.

    Targets (N,): class numbers 0..C-1, or numbers. Rate and leaves by cross-validation.
    """
    samples, targets = list(samples), np.asarray(targets)
    columns = _Columns(samples, fields)
    many = len(samples) >= FEW_ROWS
    kind: Any = (
        HistGradientBoostingRegressor if outcome == "regress" else HistGradientBoostingClassifier
    )
    model = kind(
        max_iter=MOST_TREES if many else FEW_TREES,
        early_stopping=many,
        n_iter_no_change=PATIENCE,
        min_samples_leaf=max(2, min(20, len(samples) // 20)),
        categorical_features=columns.categorical,
        random_state=seed,
    )
    folds = _folds(targets, outcome, seed)
    if folds is not None:
        scoring = "neg_mean_squared_error" if outcome == "regress" else "neg_log_loss"
        model = GridSearchCV(model, TREES, cv=folds, scoring=scoring)
    threads = 1 if len(samples) < ALONE_BELOW else None
    with threadpool_limits(threads):
        model.fit(columns.matrix(samples), targets)

    def predict(rows: Sequence[Sample]) -> np.ndarray:
        """Samples (N) -> probabilities (N, classes), or numbers (N,)."""
        cells = columns.matrix(rows)
        with threadpool_limits(threads):
            values = model.predict(cells) if outcome == "regress" else model.predict_proba(cells)
        return np.asarray(values)

    return predict


def fit_linear(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
) -> Predict:
    """Logistic regression, or ridge, on scaled numbers and one-hot levels. Targets as above."""
    samples, targets = list(samples), np.asarray(targets)
    encode = batch.make({}, fields, samples)

    def rows_of(some: Sequence[Sample]) -> np.ndarray:
        return np.stack([encode(s)["row"] for s in some]).astype(float)

    model: Any = RidgeCV(alphas=PENALTIES)
    if outcome != "regress":
        model = LogisticRegression(max_iter=2000)
        folds = _folds(targets, outcome, seed)
        if folds is not None:
            model = GridSearchCV(model, {"C": STRENGTHS}, cv=folds, scoring="neg_log_loss")
    pipeline = make_pipeline(StandardScaler(), model)
    pipeline.fit(rows_of(samples), targets)

    def predict(some: Sequence[Sample]) -> np.ndarray:
        """Samples (N) -> probabilities (N, classes), or numbers (N,)."""
        cells = rows_of(some)
        return np.asarray(
            pipeline.predict(cells) if outcome == "regress" else pipeline.predict_proba(cells)
        )

    return predict


CHAMPIONS = (
    Champion("gradient-boosted trees", fit_trees, seeded=True),
    Champion("linear model on scaled and one-hot columns", fit_linear),
)
