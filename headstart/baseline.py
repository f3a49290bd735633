"""The arm that is no network: the best simple model of the modality, tuned on training rows alone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from headstart import arms
from headstart.arms import Fitted
from headstart.job import Job, Lazy


def champion(job: Job) -> Fitted:
    """The best simple model of the modality, chosen by cross-validation on the training rows."""
    began = time.perf_counter()
    fields = job.dataset.fields
    samples = list(Lazy(job.dataset, job.train))
    parts = arms.folds(job, job.labels, job.groups, job.plan.seed, 3)
    results = []
    for model in job.modality.champion.CHAMPIONS:
        held: Any = None
        for fit, valid in parts:
            ask = model.fit(
                [samples[i] for i in fit], fields, job.labels[fit], outcome=job.outcome, seed=0
            )
            said = whole(job, ask([samples[i] for i in valid]), job.labels[fit])
            held = np.zeros((len(samples), *said.shape[1:])) if held is None else held
            held[valid] = said
        results.append((arms.score(job, held, job.labels), model, held))
    best, model, held = max(results, key=lambda r: r[0])
    count = job.plan.evidence.seeds if getattr(model, "seeded", False) else 1
    fitted = [
        model.fit(samples, fields, job.labels, outcome=job.outcome, seed=seed)
        for seed in range(count)
    ]

    def predict(rows: np.ndarray) -> np.ndarray:
        chunk = list(Lazy(job.dataset, rows))
        return np.stack([whole(job, ask(chunk), job.labels) for ask in fitted])

    return Fitted(
        f"simple champion: {model.name}",
        [],
        predict,
        np.array([best]),
        (np.arange(len(samples)), held),
        flops=float("nan"),
        seconds=time.perf_counter() - began,
    )


def whole(job: Job, said: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Probabilities over all classes from those over the classes that were seen, in their order."""
    if job.outcome == "regress" or said.shape[1] == len(job.targets.classes):
        return said
    full = np.zeros((len(said), len(job.targets.classes)))
    full[:, np.unique(seen)] = said
    return full
