"""Random numbers from a `torch.Generator`, on its device."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniform(rng: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Independent values in [low, high), shape `shape`."""
    return torch.rand(*shape, generator=rng, device=rng.device) * (high - low) + low


def scales(rng: torch.Generator, *shape: int, low: float, high: float) -> Tensor:
    """Independent values in [low, high) whose logarithm is uniform, shape `shape`."""
    return uniform(rng, *shape, low=math.log(low), high=math.log(high)).exp()


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Independent values of mean 0 and variance 1, shape `shape`."""
    return torch.randn(*shape, generator=rng, device=rng.device)


def integers(rng: torch.Generator, *shape: int, low: int = 0, high: int) -> Tensor:
    """Independent integers from `low` to `high` - 1, shape `shape`."""
    return torch.randint(low, high, shape, generator=rng, device=rng.device)


def chance(rng: torch.Generator, count: int, probability: float) -> Tensor:
    """`count` independent coins, shape (count,), dtype bool."""
    return torch.rand(count, generator=rng, device=rng.device) < probability
