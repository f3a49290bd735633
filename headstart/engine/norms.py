"""Stored statistics of batch norms that move: means over an epoch's batches, not over steps long past.

A running mean that keeps 0.9 of itself is made of ten steps and of what the source stored. On few rows, a
step or two a pass, those are other weights than the ones that are judged, and a training that ends early
says a constant for all rows. So each epoch begins its mean anew; once it is of ten batches or more it runs as
the layer's own does. Wu and Johnson 2021, arXiv:2105.07576, tell of the lag and compute statistics anew after
training; a mean over the epoch costs nothing and did as well (five sets of series and graphs).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Restarted:
    """What batch norms in training mode have stored, as the mean over an epoch so far, rows counting alike.

    A layer whose momentum is None stores the mean over all batches ever, and keeps doing so.
    """

    def __init__(self, network: nn.Module, running: bool) -> None:
        found: list[Any] = [
            module
            for module in network.modules()
            if getattr(module, "running_mean", None) is not None and module.training
        ]
        own = [(module, module.momentum) for module in found if module.momentum is not None]
        self.own = [] if running else own
        self.rows = 0

    def before_step(self, rows: int) -> None:
        """A batch of so many rows is next."""
        self.rows += rows
        for module, momentum in self.own:
            module.momentum = max(momentum, rows / self.rows)

    def end(self) -> None:
        """The layers have their own momentum again."""
        for module, momentum in self.own:
            module.momentum = momentum


@contextmanager
def restarted(network: nn.Module, running: bool = False) -> Iterator[Restarted]:
    """For one epoch; `before_step` is told of each batch.

    Args:
        running: the layers go on with their own running means instead.
    """
    made = Restarted(network, running)
    try:
        yield made
    finally:
        made.end()
