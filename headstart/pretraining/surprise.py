"""How well a network names what it never learned from: the perplexity of samples that were held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.objective import Objective
from headstart.engine import seed as seeds
from headstart.engine.freeze import evaluating
from headstart.engine.streams import Pieces, plain

BATCH = 32


@dataclass(frozen=True)
class Surprise:
    """network -> perplexity of the held-out pieces. What an objective draws is the same at every call.

    Attributes:
        samples: that the pieces were cut from.
    """

    strategy: Objective
    stream: Pieces
    samples: int
    seed: int

    def __call__(self, network: Network, strategy: Objective | None = None) -> float:
        """Of the strategy as it is trained, or of another state of it."""
        asked = strategy or self.strategy
        total, count = 0.0, 0
        with evaluating(network), seeds.seeded(self.seed, "held out"):
            for read in plain(self.stream, network, BATCH):
                said = asked.surprise(network, read)
                total, count = total + said[0], count + said[1]
        return math.exp(min(total / max(1, count), 50.0))
