"""What is known of candidates on held-out rows, before anything is trained on all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.core.network import Network
from headstart.core.ragged import joined
from headstart.core.strategy import Strategy
from headstart.engine import guards, loop
from headstart.engine.loop import Trained
from headstart.engine.streams import Part, Stream
from headstart.job import Job
from headstart.trainings import Recipe


@dataclass(frozen=True)
class Tuned:
    """What was chosen on held-out rows, before anything is trained on all of them.

    Attributes:
        held_out: places in `job.train` and outputs there.
        epochs: by phase, how long the final trainings run.
        late: whether the validation loss was still falling when the budget ended.
        flops: of all candidates together.
        loss: mean of the held-out losses of the weights that each training handed back.
        members: of a soup, the best first; () where a single candidate was chosen.
        notes: of its trainings, for a person.
    """

    strategy: Strategy
    held_out: tuple[np.ndarray, np.ndarray]
    epochs: dict[str, int]
    late: bool
    flops: float
    seconds: float = 0.0
    loss: float = math.inf
    members: tuple[Tuned, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """One candidate on one held-out part: places, outputs there, what was told of the training, and for a
    soup the network."""

    places: np.ndarray
    said: np.ndarray
    told: Trained
    network: Network | None = None


def outputs(job: Job, network: Network, stream: Stream) -> np.ndarray:
    """Probabilities or numbers of one network over a stream."""
    raw = loop.outputs(network, stream, head=job.outcome)
    head: Any = network.heads[job.outcome]
    return head.predict(raw)  # type: ignore[no-any-return]


def plain(recipe: Recipe, strategy: Strategy, places: np.ndarray) -> Part:
    return Part(recipe.stream(strategy), places, plain=True)


def outside(found: Sequence[Held]) -> tuple[np.ndarray, np.ndarray]:
    """Held-out places of all parts, ascending, and outputs there."""
    places = np.concatenate([held.places for held in found])
    order = np.argsort(places, kind="stable")
    return places[order], joined([held.said for held in found])[order]


def weighed(strategy: Strategy, found: Sequence[Held]) -> Tuned:
    """What came of one candidate."""
    every = [held.told for held in found]
    epochs = {p: round(float(np.median([t.best[p] for t in every]))) for p in every[0].best}
    late = sum(any(t.improving(p) for p in t.best) for t in every) * 2 > len(every)
    flops = sum(t.flops for t in every)
    loss = float(np.mean([told.lowest for told in every]))
    notes = tuple(guards.gathered([told.notes for told in every]))
    return Tuned(strategy, outside(found), epochs, late, flops, loss=loss, notes=notes)
