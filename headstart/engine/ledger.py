"""What it cost: operations, seconds, memory, energy."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def count(
    network: nn.Module, inputs: Mapping[str, Tensor], start: int = 0, stop: int | None = None
) -> float:
    """Floating-point operations per sample of stages `start` to `stop`, forward only."""
    raise NotImplementedError


class Ledger:
    """Adds up operations and seconds of one piece of work.

    Attributes:
        forward, backward: operations so far (a backward counts twice its forward).
        seconds: wall time inside `with ledger:`.
    """

    forward: float
    backward: float
    seconds: float

    def add(self, per_sample: float, samples: int, backward: float = 0.0) -> None:
        """Notes `samples` passes forward of `per_sample` operations, of which `backward` (operations
        per sample, forward count) also went backward."""
        raise NotImplementedError
