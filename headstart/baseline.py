"""The arm that is no network: the best simple model of the modality, tuned on training rows alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from headstart.arms import Fitted, folds, score
from headstart.core.dataset import Sample
from headstart.core.modality import Champion, Simple
from headstart.job import Job, Lazy


def able(job: Job) -> list[Champion]:
    """The modality's simple models that serve the outcome."""
    return [m for m in job.modality.champion.CHAMPIONS if job.outcome in m.outcomes]


def champion(job: Job) -> Fitted:
    """The best simple model of the modality, by cross-validation on the training rows.

    Each model's settings are chosen once, on all training rows; with these settings the models are
    compared on held-out folds, which flatters them a little (as the twin's validation does, whose epochs
    were chosen on the same rows). Test rows are seen by neither.
    """
    began = time.perf_counter()
    samples = list(Lazy(job.dataset, job.train))
    parts = folds(job, job.labels, job.groups, job.plan.seed, 3)

    def fit(model: Champion, rows: np.ndarray, seed: int, settings: Any = None) -> Simple:
        return _fit(job, model, [samples[i] for i in rows], job.labels[rows], seed, settings)

    every, results = np.arange(len(samples)), []
    places = np.concatenate([valid for _, valid in parts])
    order = np.argsort(places)
    places = places[order]
    for model in able(job):
        first, held = fit(model, every, 0), []
        for learn, valid in parts:
            ask = fit(model, learn, 0, first.settings)
            held.append(whole(job, ask([samples[i] for i in valid]), job.labels[learn]))
        said = np.concatenate(held)[order]
        results.append((score(job, said, job.labels[places]), model, first, said))
    best, model, first, said = max(results, key=lambda r: r[0])
    count = job.plan.evidence.seeds if model.seeded else 1
    fitted = [first] + [fit(model, every, seed, first.settings) for seed in range(1, count)]

    def predict(rows: np.ndarray) -> np.ndarray:
        chunk = list(Lazy(job.dataset, rows))
        return np.stack([whole(job, ask(chunk), job.labels) for ask in fitted])

    return Fitted(
        f"simple champion: {model.name}",
        [],
        predict,
        np.array([best]),
        (places, said),
        flops=float("nan"),
        seconds=time.perf_counter() - began,
        settings=dict(first.settings),
    )


def _fit(
    job: Job,
    model: Champion,
    samples: Sequence[Sample],
    labels: np.ndarray,
    seed: int,
    settings: Any,
) -> Simple:
    """A fitted simple model; of several tags one for each, on the rows where the tag is known."""
    learn = partial(model.fit, fields=job.dataset.fields, seed=seed)
    if labels.ndim == 1 or not job.targets.classes:
        made: Simple = learn(samples, targets=labels, outcome=job.outcome, settings=settings)
        return made
    parts: list[Any] = []
    for tag, name in enumerate(job.targets.classes):
        known = np.flatnonzero(np.isfinite(labels[:, tag]))
        truth = labels[known, tag].astype(np.int64)
        if len(np.unique(truth)) < 2:
            parts.append(float(truth.mean()) if len(truth) else 0.5)
            continue
        some = [samples[i] for i in known]
        given = None if settings is None else settings.get(name)
        parts.append(learn(some, targets=truth, outcome="classify", settings=given))

    def predict(asked: Sequence[Sample]) -> np.ndarray:
        columns = [
            np.full(len(asked), part) if isinstance(part, float) else part(asked)[:, 1]
            for part in parts
        ]
        return np.stack(columns, axis=1)

    names = job.targets.classes
    chosen = {n: p.settings for n, p in zip(names, parts, strict=True) if isinstance(p, Simple)}
    return Simple(predict, chosen)


def whole(job: Job, said: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Probabilities over all classes from those over the classes that were seen, in their order."""
    if not job.targets.classes or said.shape[1] == len(job.targets.classes):
        return said
    full = np.zeros((len(said), len(job.targets.classes)))
    full[:, np.unique(seen)] = said
    return full
