"""What learning several targets together gained or lost for each, against learning it alone.

For every target a network is trained on that target alone: the same strategy with the same settings and the
same choice of rates, on the training rows that have the target, from the same seeds. Both are read on the
same test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart import arms, select
from headstart.arms import Features, Fitted
from headstart.core import plugins
from headstart.core.evidence import Arm, Case
from headstart.core.network import Network
from headstart.data import further
from headstart.engine import guards, loop
from headstart.engine.streams import Stream
from headstart.errors import DataError
from headstart.job import Job
from headstart.registry import packs
from headstart.targets import Further, alone, encoded, known


@dataclass(frozen=True)
class Single:
    """One target and what was trained on it alone.

    Attributes:
        name: of its column; "" for a main target that came without one.
        head: of the network that learned all of them.
        job: as if it had this target alone.
        one: the further target; None for the main one.
        fitted: the network trained alone, or why there is none.
    """

    name: str
    head: str
    job: Job
    one: Further | None
    fitted: Fitted | str


def singles(job: Job, features: Features) -> list[Single]:
    """Every target alone, the main one first; [] where there is one only."""
    if not job.further:
        return []
    made = [_single(job, features, None)]
    return made + [_single(job, features, one) for one in job.further]


def _single(job: Job, features: Features, one: Further | None) -> Single:
    view, choice = alone(job, one), job.plan.strategy
    name, head = (
        (job.dataset.target or "target", job.outcome) if one is None else (one.name, one.head)
    )
    strategy = select.built(choice.name, plugins.load("strategy", choice.name), choice.settings)
    own = features if one is None else features[one.there]
    strategy = arms.long(view, strategy, choice.settings)
    recipe = arms.fine_tuning(view, own, select.variants(strategy, choice.settings))
    recipe = replace(recipe, name=f"'{name}' ({view.outcome}) alone", mute=(guards.OVERFITTING,))
    try:
        fitted: Fitted | str = arms.finish(view, recipe, arms.tune(view, recipe))
    except DataError as error:
        fitted = f"it could not be learned alone: {error}"
    return Single(name, head, view, one, fitted)


def cases(
    job: Job,
    transfer: Fitted,
    every: Sequence[Single],
    rows: np.ndarray,
    groups: np.ndarray | None,
) -> dict[str, Case | str]:
    """Target -> its case on opened test rows, with the arms "transfer" (together) and "alone"; or why there
    is none.

    Args:
        rows: test rows; those that lack a target are left out of its case.
        groups: (rows,) or None.
    """
    found: dict[str, Case | str] = {}
    for single in every:
        truth, unseen = _truth(job, single, rows)
        there = known(truth) if single.one is not None else np.ones(len(rows), bool)
        if isinstance(single.fitted, str) or not there.any():
            told = "no test row has a value of it" + (" that a training row has" if unseen else "")
            found[single.name] = single.fitted if isinstance(single.fitted, str) else told
            continue
        if unseen:
            job.say(
                f"{unseen} of {len(rows)} test rows have a value of the further target "
                f"'{single.name}' that no training row has; they are not counted for it."
            )
        some, fitted = rows[there], single.fitted
        stream = arms.rows_stream(job, some, augment=False)
        said = np.stack([outputs(network, stream, single.head) for network in transfer.networks])
        together = Arm("together", said, fitted.validation, transfer.flops, transfer.seconds)
        found[single.name] = Case(
            outcome=single.job.outcome,
            classes=single.job.targets.classes,
            targets=truth[there],
            arms={"transfer": together, "alone": replace(fitted.arm(some), name="alone")},
            validation_targets=single.job.labels[fitted.held_out[0]],
            validation_outputs=fitted.held_out[1],
            score=single.job.score,
            groups=None if groups is None else groups[there],
            seed=job.plan.seed,
        )
    return found


def _truth(job: Job, single: Single, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Encoded values of a target; -1 or NaN where a row has none, or a class that no training row has; and
    how many rows have such a class."""
    if single.one is None:
        return job.targets.encode(job.dataset.targets(rows)), 0
    raw = further.values(job.dataset, single.name, rows)
    made = encoded(single.one.targets, raw)
    return made, sum(value is not None for value in raw) - int(known(made).sum())


def outputs(network: Network, stream: Stream, head: str) -> np.ndarray:
    """What one head of a network says of a stream, as `Head.predict` gives it."""
    module: Any = network.heads[head]
    return module.predict(loop.outputs(network, stream, head=head))  # type: ignore[no-any-return]


def states(job: Job) -> Mapping[str, Any]:
    """What a pack keeps of further targets, for its recipe; {} where there are none."""
    return {"further": [one.state() for one in job.further]} if job.further else {}


def same(
    job: Job, transfer: Fitted, rows: np.ndarray, found: Mapping[str, np.ndarray], tolerance: float
) -> None:
    """Raises PackError where a reloaded pack's further heads predict differently.

    Args:
        found: name of a target -> what the reloaded pack says of `rows`.
    """
    stream = arms.rows_stream(job, rows, augment=False)
    for one in job.further:
        wanted = outputs(transfer.networks[0], stream, one.head)
        packs.same(found[one.name], wanted, tolerance, one.name)
