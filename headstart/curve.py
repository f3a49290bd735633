"""The learning curve: the probe's held-out score at growing shares of the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart import arms
from headstart.arms import Features
from headstart.core.ragged import joined
from headstart.engine import streams
from headstart.job import Job

SHARES = (0.1, 0.2, 0.5, 1.0)


def measured(made: Job, features: Features) -> dict[str, Any]:
    """Held-out score of the probe at 10, 20, 50 and 100 % of the training rows, from the store."""
    parts = arms.folds(made, made.labels, made.groups, made.plan.seed)
    rng = np.random.default_rng(made.plan.seed)
    head: Any = made.network(made.backbone).heads[made.outcome]
    curve: dict[str, list[float]] = {k: [] for k in ("labels", "score", "low", "high", "n")}
    for share in SHARES:
        said, used = [], []
        for fit, valid in parts:
            some = _some(rng, made, fit, share)
            used.append(len(some))
            network = made.network(made.backbone)
            inner = arms.folds(made, made.labels[some], made.groups[some], made.plan.seed, 3)
            solution = arms.solution(head, features[some], made.labels[some], inner)
            network.heads[made.outcome].settle(solution)  # type: ignore[operator]
            stream = streams.Features(features[valid], len(made.backbone.stages), {})
            said.append(arms.outputs(made, network, stream))
        places = np.concatenate([valid for _, valid in parts])
        order = np.argsort(places)
        held, places = joined(said)[order], places[order]
        low, high = _bootstrap(made, held, places, rng)
        curve["labels"].append(round(float(np.mean(used))))
        curve["score"].append(arms.score(made, held, made.labels[places]))
        curve["low"].append(low)
        curve["high"].append(high)
        curve["n"].append(len(places))
    return {**curve, "metric": made.score.name}


def _some(rng: np.random.Generator, made: Job, fit: np.ndarray, share: float) -> np.ndarray:
    """A share of places; of every class at least two where there are as many."""
    if made.labels.ndim > 1 or made.labels.dtype.kind != "i":
        return np.sort(rng.permutation(fit)[: max(10, round(share * len(fit)))])
    chosen = []
    for label in np.unique(made.labels[fit]):
        own = rng.permutation(fit[made.labels[fit] == label])
        chosen.append(own[: max(2, round(share * len(own)))])
    return np.sort(np.concatenate(chosen))


def _bootstrap(
    made: Job, held: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Over the rows at some places of the training rows, or over groups of them that belong together."""
    groups = made.groups[places]
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    n = len(members)
    rows = made.score.rows(held[None], made.labels[places])[0]
    drawn = (rng.integers(0, n, n) for _ in range(500))
    draws = [
        rows[order[some] if n == len(held) else np.concatenate([members[k] for k in some])].mean()
        for some in drawn
    ]
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))
