"""How well pairs that were never learned from are found again: the caption of a sample among all held-out
captions, and the sample of a caption among all held-out samples.

Recall at k is the share of the asked that have a right answer among the k nearest by cosine (as in CLIP,
arXiv:2103.00020, without any training on the held-out pairs). Equal captions, and equal samples, are one
candidate; every answer that some held-out pair gives is right. A right answer that ties with wrong ones
stands behind them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from headstart.core.network import Network
from headstart.core.objective import TWINS, Objective
from headstart.core.strategy import Batch
from headstart.engine.freeze import evaluating
from headstart.engine.streams import Views

BATCH = 64
DEPTHS = (1, 5)
FEWEST = 2  # candidates


@dataclass(frozen=True)
class Retrieval:
    """network -> recall of the held-out pairs, by way: "A to B" -> one share a depth.

    Attributes:
        stream: the held-out pairs.
        ways: names of the two ways, from samples to captions and back.
    """

    strategy: Objective
    stream: Views
    ways: tuple[str, str]

    def __call__(self, network: Network, strategy: Objective | None = None) -> dict[str, Any]:
        """Of the strategy as it is trained, or of another state of it."""
        told = self.ranks(network, strategy)
        return {
            way: [float((ranks < depth).mean()) for depth in DEPTHS]
            for way, (ranks, _) in told.items()
        }

    def ranks(
        self, network: Network, strategy: Objective | None = None
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By way: of each of the asked, how many wrong candidates are as near as the nearest right one, or
        nearer; and how many candidates are right."""
        scores, right = self.scores(network, strategy or self.strategy)
        first, second = self.ways
        return {first: ranked(scores, right), second: ranked(scores.T, right.T)}

    def scores(self, network: Network, strategy: Objective) -> tuple[np.ndarray, np.ndarray]:
        """Cosines (samples, captions) of different ones, and which pairs are right, alike."""
        where = next(network.parameters()).device
        mine, other = [], []
        with evaluating(network), torch.no_grad():
            for begin in range(0, len(self.stream), BATCH):
                read = self.stream.batch(np.arange(begin, min(begin + BATCH, len(self.stream))), -1)
                inputs = {name: t.to(where) for name, t in read.inputs.items()}
                told = {name: t.to(where) for name, t in read.targets.items()}
                sides = strategy.sides(network, Batch(inputs, told, read.start))
                mine.append(sides[0].cpu().numpy())
                other.append(sides[1].cpu().numpy())
        twins = np.asarray(self.stream.targets[TWINS])
        captions, samples = (np.unique(twins[:, k], return_index=True) for k in (0, 1))
        scores = np.concatenate(mine)[samples[1]] @ np.concatenate(other)[captions[1]].T
        right = np.zeros(scores.shape, bool)
        places = [np.searchsorted(u[0], twins[:, k]) for k, u in ((0, captions), (1, samples))]
        right[places[1], places[0]] = True
        return scores, right

    @property
    def candidates(self) -> tuple[int, int]:
        """Different captions and samples."""
        twins = np.asarray(self.stream.targets[TWINS])
        return len(np.unique(twins[:, 0])), len(np.unique(twins[:, 1]))


def ranked(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of `scores` (asked, candidates): wrong candidates that score as high as the best right
    one, or higher; and the number of right ones."""
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    return ((scores >= best) & ~right).sum(axis=1), right.sum(axis=1)


def chance(right: np.ndarray, candidates: int, depth: int) -> float:
    """Expected recall at `depth` of a random order, of rows with so many right candidates."""
    missed = [math.comb(candidates - int(n), depth) / math.comb(candidates, depth) for n in right]
    return float(1.0 - np.mean(missed))


def facts(
    measured: Retrieval, network: Network, history: list[dict[str, Any]], pairs: int
) -> dict[str, Any]:
    """What the document says of the end of a training: recall before and after, with Wilson's interval over
    the asked, and chance. A depth that holds all candidates is left out."""
    captions, samples = measured.candidates
    figures = []
    for way, (ranks, right) in measured.ranks(network).items():
        among = captions if way == measured.ways[0] else samples
        for place, depth in enumerate(DEPTHS):
            if depth >= among:
                continue
            hits = int((ranks < depth).sum())
            ends = stats.binomtest(hits, len(ranks)).proportion_ci(method="wilson")
            figures.append(
                {
                    "way": way,
                    "depth": depth,
                    "asked": len(ranks),
                    "among": among,
                    "chance": chance(right, among, depth),
                    "before": history[0]["retrieval"][way][place],
                    "after": hits / len(ranks),
                    "interval": [float(ends.low), float(ends.high)],
                }
            )
    return {"pairs": pairs, "captions": captions, "samples": samples, "figures": figures}


def warned(found: dict[str, Any]) -> list[str]:
    """A sentence where held-out pairs are found again no better than by chance."""
    first = [one for one in found["figures"] if one["depth"] == DEPTHS[0]]
    if not first or any(one["interval"][0] > one["chance"] for one in first):
        return []
    told = "; ".join(
        f"{one['way']} {one['after']:.1%}, chance {one['chance']:.1%}" for one in first
    )
    return [
        f"Pairs that were held out are found again no better than by chance ({told}). What was learned does "
        "not carry over to new pairs: check that captions belong to their samples, or give more of them."
    ]
