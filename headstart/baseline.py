"""The arm that is no network: the best simple model of the modality, tuned on training rows alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from headstart.arms import Fitted, folds, score
from headstart.core.dataset import Field, Sample
from headstart.core.head import Targets
from headstart.core.modality import Champion, Simple
from headstart.core.ragged import joined
from headstart.errors import PlanError, nearest
from headstart.job import Job, Lazy


def able(job: Job, samples: Sequence[Sample]) -> list[Champion]:
    """The modality's simple models that read the samples and serve the outcome."""
    known = serving(job.modality.champion.CHAMPIONS, samples, job.dataset.fields)
    return [m for m in known if _fitted_to(job) in m.outcomes]


def _fitted_to(job: Job) -> str:
    """The outcome that simple models are fitted to in the place of the run's."""
    return str(getattr(job.heads, "SIMPLE", job.outcome))


def champions(job: Job) -> dict[str, Fitted]:
    """By role: "champion", the best simple model of the modality by cross-validation on the training rows,
    and under its own name each other one that is to be shown beside it; none where none serves.

    Each model's settings are chosen once, on all training rows; with these settings the models are
    compared on held-out folds, which flatters them a little (as the twin's validation does, whose epochs
    were chosen on the same rows). Test rows are seen by neither.
    """
    began = time.perf_counter()
    samples = list(Lazy(job.dataset, job.train))
    parts = folds(job, job.labels, job.groups, job.plan.seed, 3)
    fits = able(job, samples)
    if not fits:
        job.say(f"There is no simple champion for {job.outcome} of {job.modality.name} data.")
        return {}
    tried = [_tried(job, model, samples, parts) for model in fits]
    best = max(tried, key=lambda one: one.score)
    made = {"champion": _whole(job, best, samples, "simple champion", began)}
    for one in tried:
        if one is not best and one.model.beside:
            made[one.model.name] = _whole(job, one, samples, "simple model", time.perf_counter())
    return made


def refits(job: Job) -> bool:
    """Whether a simple model may be fitted again for prediction: of whole samples, not of positions."""
    return job.reads == "pooled"


def again(job: Job, name: str) -> tuple[Simple, Targets]:
    """The simple model of that name, fitted anew on the training rows, and the targets that tell its
    predictions, which are over all classes. Targets that ask for it learn from its held-out rows how far off
    it is, as they do of a transfer.

    Raises:
        PlanError: no simple model of that name serves here.
    """
    samples = list(Lazy(job.dataset, job.train))
    model = next((m for m in able(job, samples) if m.name == name), None)
    if model is None:
        known = [m.name for m in able(job, samples)]
        raise PlanError(f"No simple model '{name}' serves this run. {nearest(name, known)}")
    informed = getattr(job.targets, "informed", None)
    targets = job.targets
    if informed is None:
        fitted = _fit(job, model, samples, job.labels, 0, None)
    else:
        tried = _tried(job, model, samples, folds(job, job.labels, job.groups, job.plan.seed, 3))
        fitted = tried.first
        targets = informed(tried.said, job.labels[tried.places], None, job.groups)
    return Simple(lambda asked: whole(job, fitted(asked), job.labels), fitted.settings), targets


def serving(
    champions: Sequence[Champion], samples: Sequence[Sample], fields: Sequence[Field]
) -> list[Champion]:
    """Those that read samples of this kind."""
    return [c for c in champions if c.serves is None or c.serves(samples, fields)]


@dataclass(frozen=True)
class _Tried:
    """A simple model fitted on all training rows, and what it said of rows held out; places ascend."""

    model: Champion
    first: Simple
    places: np.ndarray
    said: np.ndarray
    score: float


def _tried(job: Job, model: Champion, samples: Sequence[Sample], parts: Sequence[Any]) -> _Tried:
    first, held = _fit(job, model, samples, job.labels, 0, None), []
    for learn, valid in parts:
        some = [samples[i] for i in learn]
        ask = _fit(job, model, some, job.labels[learn], 0, first.settings)
        held.append(whole(job, ask([samples[i] for i in valid]), job.labels[learn]))
    places = np.concatenate([valid for _, valid in parts])
    order = np.argsort(places)
    places, said = places[order], joined(held)[order]
    return _Tried(model, first, places, said, score(job, said, job.labels[places]))


def _whole(job: Job, tried: _Tried, samples: Sequence[Sample], role: str, began: float) -> Fitted:
    """The arm, fitted from each seed where seeds change what is learned; `began` is a clock's reading."""
    model, first = tried.model, tried.first
    count = job.plan.evidence.seeds if model.seeded else 1
    more = [_fit(job, model, samples, job.labels, seed, first.settings) for seed in range(1, count)]
    fitted = [first, *more]

    def predict(rows: np.ndarray) -> np.ndarray:
        chunk = list(Lazy(job.dataset, rows))
        return np.stack([whole(job, ask(chunk), job.labels) for ask in fitted])

    return Fitted(
        f"{role}: {model.name}",
        [],
        predict,
        np.array([tried.score]),
        (tried.places, tried.said),
        flops=float("nan"),
        seconds=time.perf_counter() - began,
        settings=dict(first.settings),
        chance=bool(model.seeded),
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
    if labels.ndim == 1 or model.each or not job.targets.classes:
        kind = _fitted_to(job)
        if kind != job.outcome:  # a level that no row has is no class
            labels = np.unique(labels, return_inverse=True)[1]
        made: Simple = learn(samples, targets=labels, outcome=kind, settings=settings)
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
    classes = len(job.targets.classes)
    if not classes or said.ndim == 1 or said.shape[-1] == classes:
        return said
    full = np.zeros((*said.shape[:-1], len(job.targets.classes)))
    full[..., np.unique(seen[seen >= 0])] = said
    full[np.isnan(said).any(axis=-1)] = np.nan
    return full
