"""The simple models that transfer has to beat: MiniRocket, and trees on plain statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from threadpoolctl import threadpool_limits

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Champion, Simple
from headstart.modalities import _simple
from headstart.modalities.series import (
    _forecasters,
    _minirocket,
    _ridge,
    _statistics,
    batch,
)

TREES = 200
MOST_ROWS = 5_000
"""Rows that MiniRocket's ridge learns from, drawn with the seed: it needs memory for their square."""
AT_ONCE = 512
"""Rows whose features are held while they are predicted."""


class _Values:
    """Samples to (T, C) arrays without gaps, channels scaled by the training rows'."""

    def __init__(self, samples: Sequence[Sample], fields: Sequence[Field]) -> None:
        self._transform = batch.make({"scale": "train"}, fields, samples)

    def __call__(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        return [self._transform(s)["values"] for s in samples]


def fit_minirocket(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """MiniRocket and ridge, its penalty by leaving one out. Targets (N,): class numbers, or numbers."""
    targets = np.asarray(targets)
    values = _Values(samples, fields)
    kept = np.arange(len(samples))
    if len(kept) > MOST_ROWS:
        kept = np.sort(np.random.default_rng(seed).choice(len(samples), MOST_ROWS, replace=False))
    rows = values([samples[int(k)] for k in kept])
    filters = _minirocket.fit(rows, seed)
    classes = 0 if outcome == "regress" else int(targets.max()) + 1
    with threadpool_limits(1):
        model = _ridge.fit(
            _minirocket.transform(rows, filters),
            targets[kept],
            classes=classes,
            penalty=None if settings is None else float(settings["penalty"]),
        )

    def predict(some: Sequence[Sample]) -> np.ndarray:
        starts = range(0, len(some), AT_ONCE)
        parts = [values(some[start : start + AT_ONCE]) for start in starts]
        return np.concatenate([model(_minirocket.transform(p, filters)) for p in parts])

    return Simple(predict, {"penalty": model.penalty})


def fit_statistics(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Extremely randomised trees (Geurts et al. 2006) on statistics of each channel. Targets as above."""
    values = _Values(samples, fields)
    kind: Any = ExtraTreesRegressor if outcome == "regress" else ExtraTreesClassifier
    model, found = _simple.chosen(
        kind(TREES, random_state=seed, n_jobs=1),
        {},
        _statistics.matrix(values(samples)),
        np.asarray(targets),
        outcome=outcome,
        seed=seed,
        settings=settings,
    )
    return Simple(
        lambda some: _simple.said(model, _statistics.matrix(values(some)), outcome), found
    )


CHAMPIONS = (
    Champion("MiniRocket + ridge", fit_minirocket, seeded=True),
    Champion("statistics + extremely randomised trees", fit_statistics, seeded=True),
    Champion("seasonal naive", _forecasters.fit_naive, outcomes=("forecast",), beside=True),
    Champion(
        "exponential smoothing", _forecasters.fit_smoothing, outcomes=("forecast",), beside=True
    ),
    Champion("linear autoregression", _forecasters.fit_linear, outcomes=("forecast",)),
)
