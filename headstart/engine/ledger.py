"""What it cost: operations counted on the eager network, seconds, memory, and energy as an estimate."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count(
    network: nn.Module, inputs: Mapping[str, Tensor], start: int = 0, stop: int | None = None
) -> float:
    """Floating-point operations per sample of stages `start` to `stop` of a backbone, forward only.

    Counts multiplications and additions of matrix products, convolutions and attention.
    """
    told = getattr(network, "operations", None)
    own = told(start, stop) if told is not None else None
    if own is not None:
        return float(own)
    rows = len(next(iter(inputs.values())))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.run(inputs, start, stop)  # type: ignore[operator]
    return float(counter.get_total_flops()) / rows


def stages(backbone: Any, inputs: Mapping[str, Tensor]) -> tuple[float, ...]:
    """Operations per sample of each stage, forward only; the pooling belongs to none."""
    costs, state = [], dict(inputs)
    rows = len(next(iter(inputs.values())))
    for stage in range(len(backbone.stages)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            state = backbone.run(state, stage, stage + 1)
        costs.append(float(counter.get_total_flops()) / rows)
    return tuple(costs)


# Power that a processor's package draws under load, per core: 65 W over 8 cores for desktops, 225 W
# over 56 for servers lie between; nothing is measured, so the energy is inferred.
WATTS_PER_CORE = (4.0, 10.0)


@dataclass
class Ledger:
    """Adds up one piece of work; `with ledger:` times it.

    Attributes:
        forward, backward: operations; a backward pass counts twice its forward pass.
        seconds: wall time inside `with`.
        peak_bytes: largest resident memory of the process seen so far.
        cores: that worked.
    """

    forward: float = 0.0
    backward: float = 0.0
    seconds: float = 0.0
    peak_bytes: int = 0
    cores: int = field(default_factory=torch.get_num_threads)
    _since: float = 0.0

    def add(self, per_sample: float, samples: int, backward: float = 0.0) -> None:
        """Notes `samples` forward passes of `per_sample` operations each; of these, layers that count
        `backward` operations forward were also passed backward."""
        self.forward += per_sample * samples
        self.backward += 2.0 * backward * samples

    @property
    def flops(self) -> float:
        """All operations."""
        return self.forward + self.backward

    @property
    def joules(self) -> tuple[float, float]:
        """Energy, low and high: seconds x cores x WATTS_PER_CORE. Inferred, not measured."""
        low, high = WATTS_PER_CORE
        return self.seconds * self.cores * low, self.seconds * self.cores * high

    def __enter__(self) -> Ledger:
        self._since = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since
        self.peak_bytes = max(self.peak_bytes, peak_bytes())


def peak_bytes() -> int:
    """Largest resident memory of this process so far, mapped files included."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)


def anonymous_bytes() -> int:
    """Resident memory of this process without mapped files (which the system may drop at any time);
    0 where the system does not tell."""
    try:
        pages = [int(v) for v in Path("/proc/self/statm").read_text("ascii").split()]
    except (OSError, ValueError):
        return 0
    import resource

    return (pages[1] - pages[2]) * resource.getpagesize()


def matrix_rate(size: int = 1024, seconds: float = 0.5) -> float:
    """Operations per second of a float32 matrix product, the best of many: what the machine can do."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best
