"""Whether varied training rows are still like the training rows: distances in the source's own features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from headstart import augmentation
from headstart.arms import Features, Fitted
from headstart.core.augment import AUTO, Policy
from headstart.core.modality import Arrays, Transform
from headstart.engine import seed as seeds
from headstart.errors import BadRow
from headstart.evidence.augmentation import NAME
from headstart.groups import neighbours
from headstart.job import Job

USUAL = "usual"  # what is done where nothing was named
ROWS, LEAST = 200, 20  # varied by each; fewer where the source is large
FLOPS = 2e12  # operations that all of them may take
REFERENCE = 5000  # training rows that they are compared with
QUANTILE, WARNED = 0.95, 0.5
BATCH = 32


def measured(made: Job, transfer: Fitted, features: Features) -> dict[str, Any] | None:
    """What the check "augmentation" reads; None where no augmentation was used and nobody asked.

    Args:
        features: (rows, width) stored features of `made.train`.
    """
    checks = made.plan.evidence.checks
    used = bool(transfer.settings.get(augmentation.ASKED))
    if (checks and NAME not in checks) or not (used or NAME in checks):
        return None
    if why := _unfit(made, features):
        return {"rows": {}, "of": 0, "missing": [("realism of augmentation", why)]}
    policies = _policies(made)
    rng = seeds.generator(made.plan.seed, "realism")
    places = np.sort(rng.permutation(len(features))[:REFERENCE])
    near = features[places]
    limit = float(np.quantile(neighbours.nearest(near, near, 2, by="euclidean")[1][:, 1], QUANTILE))
    most = int(np.clip(FLOPS / max(1.0, made.flops * len(policies)), LEAST, ROWS))
    some = np.sort(rng.permutation(places)[:most])
    rows: dict[str, tuple[int, int]] = {}
    for name, policy in policies.items():
        moved = _moved(made, name, policy, made.train[some])
        if len(moved):
            gaps = neighbours.nearest(moved, near, 1, by="euclidean")[1][:, 0]
            rows[name] = (len(moved), int((gaps > limit).sum()))
            _warn(made, name, *rows[name])
    still = [(f"realism of '{n}'", "it changed no row") for n in policies if n not in rows]
    return {"rows": rows, "of": len(near), "missing": still}


def _unfit(made: Job, features: Features) -> str:
    """Why nothing can be measured, or ""."""
    if made.plan.engine.profile != "exact":  # varied rows are read exactly; percents would count
        return "the features that are kept are of the profile fast; it takes exact ones"
    if not isinstance(features, np.ndarray) or len(features) < LEAST:
        return f"it takes whole rows, and at least {LEAST} of them"
    return ""


def _policies(made: Job) -> Mapping[str, Policy | None]:
    """What is tried, by name: each variation that was named, or what is usual, all together."""
    policy = made.asked.policy
    if policy is None:
        return {USUAL: None}
    return {one.steps[0][0]: one for one in policy.alone}


def _moved(made: Job, name: str, policy: Policy | None, rows: np.ndarray) -> np.ndarray:
    """(n, width) of those rows that a variation changes, as the untouched source sees them."""
    transform = made.transform.profile(made.plan.engine.profile)
    varied = augmentation.varied(transform, policy)
    found: list[Arrays] = []
    for sample, row in zip(made.dataset.samples(rows), rows, strict=True):
        try:
            plain = transform(sample)
            arrays = varied(sample, seeds.generator(made.plan.seed, "realism", name, int(row)))
        except BadRow:
            continue
        if not _alike(plain, arrays):
            found.append(arrays)
    return _pooled(made, transform, found)


def _alike(a: Arrays, b: Arrays) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def _pooled(made: Job, transform: Transform, items: Sequence[Arrays]) -> np.ndarray:
    """(n, width) features of the source, by batches of equal length or near it."""
    told = np.empty((len(items), made.backbone.width), np.float32)
    order = sorted(range(len(items)), key=lambda place: transform.length(items[place]))
    with torch.inference_mode():
        for begin in range(0, len(order), BATCH):
            some = order[begin : begin + BATCH]
            inputs = transform.collate([items[place] for place in some])
            said = made.backbone.pool(made.backbone.run(inputs))
            told[some] = said.float().cpu().numpy()
    return told


def _warn(made: Job, name: str, n: int, beyond: int) -> None:
    """Tells of a variation that moves most rows out of the training rows' range."""
    if beyond <= WARNED * n:
        return
    what = "The usual augmentation" if name == USUAL else f"The augmentation '{name}'"
    if name == USUAL:
        instead = "Name milder ones with --augment, or use none (--set augment=false)"
    elif AUTO in {one.partition(":")[0] for one in made.plan.augmentation.augment}:
        instead = (
            "Name the others instead of auto, or weaken them all (--set augmentation.magnitude=0.5)"
        )
    else:
        instead = f"Leave '{name}' out, or give it a smaller factor, as in --augment {name}:0.5"
    made.say(
        f"{what} makes rows unlike the training rows: of {n} that it changed, {100 * beyond / n:.0f} % lie "
        f"farther from the nearest training row than {100 * QUANTILE:.0f} % of these from each other, in the "
        f"source's features. {instead}."
    )
