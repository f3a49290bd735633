"""What the simple models of all modalities share: settings by cross-validation, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

FOLDS = 3
TREES = {"learning_rate": (0.03, 0.1), "max_leaf_nodes": (7, 31)}
"""What cross-validation chooses from for boosted trees."""
MOST_TREES, PATIENCE = 200, 10
FEW_ROWS, FEW_TREES = 200, 100
"""Below so many rows, or where a class has a single one, none are held out for early stopping: the number
of trees is fixed."""
ALONE_BELOW = 20_000
"""Rows below which one thread is faster: threads that wait for each other cost up to 15 times more
where the cores are shared."""


def chosen(
    model: Any,
    grid: Mapping[str, Sequence[Any]],
    rows: Any,
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None,
) -> tuple[Any, Mapping[str, Any]]:
    """Fits an estimator with given settings, or with those of the grid that cross-validation prefers.

    Args:
        grid: parameter -> values; empty: nothing is to be chosen.
        rows: (N, width), dense or sparse.

    Returns:
        The fitted estimator and its settings.
    """
    if settings is not None:
        return model.set_params(**settings).fit(rows, targets), settings
    folds = _folds(targets, outcome, seed)
    if folds is None or not grid:
        return model.fit(rows, targets), {}
    scoring: Any = "neg_mean_squared_error" if outcome == "regress" else _scored
    search = GridSearchCV(model, dict(grid), cv=folds, scoring=scoring).fit(rows, targets)
    return search.best_estimator_, dict(search.best_params_)


def linear(
    rows: Any,
    targets: np.ndarray,
    *,
    strengths: Sequence[float],
    penalties: Sequence[float],
    iterations: int,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None,
    first: Sequence[Any] = (),
) -> tuple[Any, Mapping[str, Any]]:
    """Logistic regression with its C out of `strengths`, or ridge with its alpha out of `penalties`, behind
    the transformers `first`; otherwise as `chosen`."""
    regress = outcome == "regress"
    last = RidgeCV(alphas=penalties) if regress else LogisticRegression(max_iter=iterations)
    return chosen(
        make_pipeline(*first, last),
        {} if regress else {"logisticregression__C": strengths},
        rows,
        targets,
        outcome=outcome,
        seed=seed,
        settings=settings,
    )


def trees(
    rows: np.ndarray,
    targets: np.ndarray,
    *,
    categorical: Sequence[bool] | None = None,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None,
) -> tuple[Callable[[np.ndarray], np.ndarray], Mapping[str, Any]]:
    """Histogram gradient boosting (LightGBM's kind) with early stopping; gaps (NaN) are read natively.

    Args:
        rows: (N, width).
        categorical: which columns hold codes of categories.

    Returns:
        Rows -> what `said` gives, and the settings: rate and leaves by cross-validation.
    """
    alone = outcome != "regress" and np.bincount(targets.astype(int)).min() < 2
    many = len(rows) >= FEW_ROWS and not alone
    kind: Any = (
        HistGradientBoostingRegressor if outcome == "regress" else HistGradientBoostingClassifier
    )
    model = kind(
        max_iter=MOST_TREES if many else FEW_TREES,
        early_stopping=many,
        n_iter_no_change=PATIENCE,
        min_samples_leaf=max(2, min(20, len(rows) // 20)),
        categorical_features=categorical,
        random_state=seed,
    )
    threads = 1 if len(rows) < ALONE_BELOW else None
    with threadpool_limits(threads):
        model, found = chosen(
            model, TREES, rows, targets, outcome=outcome, seed=seed, settings=settings
        )

    def predict(some: np.ndarray) -> np.ndarray:
        with threadpool_limits(threads):
            return said(model, some, outcome)

    return predict, found


def said(model: Any, rows: Any, outcome: str) -> np.ndarray:
    """Probabilities (N, classes), or numbers (N,)."""
    return np.asarray(model.predict(rows) if outcome == "regress" else model.predict_proba(rows))


def _scored(model: Any, rows: Any, targets: np.ndarray) -> float:
    """Log loss, turned round so that more is better; a fold may lack a class."""
    return -float(log_loss(targets, model.predict_proba(rows), labels=model.classes_))


def _folds(targets: np.ndarray, outcome: str, seed: int) -> Any:
    """(training rows, held-out rows) of each fold, or None where there are too few rows.

    Rows of classes too rare to be in every fold are always learned from and never held out.
    """
    if outcome == "regress":
        if len(targets) < 4:
            return None
        return list(KFold(FOLDS, shuffle=True, random_state=seed).split(targets))
    classes = targets.astype(int)
    sizes = np.bincount(classes)
    if (sizes >= FOLDS).sum() < 2:
        return None
    common = np.flatnonzero(sizes[classes] >= FOLDS)
    rare = np.flatnonzero(sizes[classes] < FOLDS)
    kind = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return [
        (np.concatenate([common[learn], rare]), common[held])
        for learn, held in kind.split(common, classes[common])
    ]
