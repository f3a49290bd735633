"""A step tried on a copy."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch

from headstart.core.network import Network
from headstart.core.strategy import Strategy
from headstart.engine import mixing
from headstart.engine import seed as seeds
from headstart.engine.freeze import frozen
from headstart.engine.streams import Stream


def draws(
    network: Network, strategy: Strategy, stream: Stream, beside: Mapping[str, Stream] | None = None
) -> bool:
    """Whether training draws from torch's global generator (dropout inside a backbone does, a head's
    has a generator of its own), found by trying a step on a copy. `beside` are the streams other than
    "train"."""
    if len(stream) < 2:
        return True
    with torch.random.fork_rng():
        before = torch.get_rng_state()
        trial, strategy = copy.deepcopy(network), copy.deepcopy(strategy)
        streams = {"train": stream, **(beside or {})}
        strategy.prepare(trial, streams)
        strategy.weigh(trial, streams)
        read = {n: s.batch(np.arange(min(2, len(s))), 0) for n, s in streams.items()}
        for phase in strategy.phases(trial):
            if not phase.solved:
                some = {name: read[name] for name in phase.streams}
                batches = mixing.blended(some, strategy.common)
                with frozen(trial, phase), seeds.own(trial):
                    strategy.loss(trial, batches, 0.0)
        return not torch.equal(before, torch.get_rng_state())
