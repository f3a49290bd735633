"""Objective: what a backbone learns from before any task; a strategy, so that the one loop trains it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch, Group, Phase, Strategy
from headstart.errors import ContractError

__all__ = ["CAPTIONS", "PHASE", "TWINS", "Objective"]

PHASE = "pre-training"
"""Name of the phase in which the backbone learns."""
CAPTIONS, TWINS = "captions", "twins"
"""Targets of an objective that learns from pairs: features (N, width) float32 of the caption of each sample,
as another source encodes it; and (N, 2) int64, a number of the caption and one of the sample. Equal captions
have one number, and equal samples have one."""


class Objective(Strategy):
    """Base of all objectives: one phase over the whole backbone, called `PHASE`.

    A subclass lives in `objectives/<name>.py` and is called `Objective` there; `Settings` of the same file
    has at least `epochs`, `rate` and `weight_decay`. Its network has no heads: what it needs besides the
    backbone are its own parameters, made in `prepare`.

    Attributes:
        views: augmented copies of each sample in a batch, view after view: rows i, N + i, 2 N + i ... of
            the inputs are copies of one sample.
        labels: whether it needs labels.
        compares: whether the loss compares the rows of a batch, so that a large batch matters.
        floor: a loss at or below it means that the task was solved without learning anything; None: no
            such value is known.
        batch: samples a step where nobody says how many, at most.
        pieces: whether all of a sample is read: what does not fit into the network is read in further
            pieces.
        holds_out: share of the samples that are never learned from; `surprise`, or how well pairs are found
            again, is measured on them.
        pairs: whether each sample comes with a caption: the batch has the targets `CAPTIONS` and `TWINS`.
    """

    views: int = 1
    labels: bool = False
    compares: bool = False
    floor: float | None = None
    batch: int = 128
    pieces: bool = False
    holds_out: float = 0.0
    pairs: bool = False

    def refuse(self, network: Network) -> str:
        """Why this network cannot learn so, or ""."""
        if network.backbone.frozen:
            return network.backbone.frozen
        if not any(True for _ in network.backbone.parameters()):
            return "this network has no weights that could be trained; it is drawn by formula"
        return ""

    def surprise(self, network: Network, batch: Batch) -> tuple[float, int]:
        """Sum of the negative log probabilities, in nats, of what was to be named in a batch, and how many
        names that were: e to their quotient is the perplexity. Only where samples are held out."""
        raise ContractError(f"{type(self).__name__} has no surprise().")

    def sides(self, network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
        """Samples (N, width) and their captions (N, width) in one space, rows of length one. Only of an
        objective that learns from pairs."""
        raise ContractError(f"{type(self).__name__} has no sides().")

    def keeps(self) -> Mapping[str, Tensor]:
        """Tensors beside the backbone that are written with it, by name; the rest is thrown away."""
        return {}

    def phases(self, network: Network) -> tuple[Phase, ...]:
        """One phase; weight decay on matrices only, batch-norm statistics included."""
        settings, backbone = self.settings, network.backbone
        own = [(n, p) for n, p in backbone.named_parameters() if backbone.stage_of(n) >= 0]
        buffers = tuple(
            f"backbone.{n}" for n, _ in backbone.named_buffers() if backbone.stage_of(n) >= 0
        )
        matrices = tuple(f"backbone.{n}" for n, p in own if p.ndim > 1)
        vectors = tuple(f"backbone.{n}" for n, p in own if p.ndim <= 1)
        phase = Phase(
            PHASE,
            (
                Group("matrices", matrices, decay=settings.weight_decay, buffers=buffers),
                Group("vectors", vectors),
            ),
            cut=0,
            epochs=settings.epochs,
            rate=settings.rate,
            augment=True,
            whole=True,
        )
        return (phase,)
