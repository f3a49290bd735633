"""Series by formula: classes of curves, each drawn many times over, warped, bent, and under noise.

What tells a series of one kind from another is often a shape: a beat, a step, a gesture. A class here is one
curve, a composed Gaussian process as in `kernels` with bumps and edges on it; a sample is that curve run
through at a pace of its own, stretched, cut, tilted and noisy (the nuisances of dynamic time warping: Sakoe
and Chiba 1978). To name the curve a network must read shapes and overlook how they were run through.
"""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.generators._random import chance, normal, scales, uniform
from headstart.generators.kernels import Kernels

MODALITY = "series"
POINTS = 512  # of a class's curve
BUMPS = 3
KNOTS = 8  # of pace and tilt


class Curves:
    """Draws series of `steps` values, mean 0 and variance 1, of `classes` curves, which `seed` fixes.

    Labels: the curve.
    """

    bounds = {"steps": (16, 65_536), "classes": (2, 100_000)}

    def __init__(self, steps: int = 256, classes: int = 400, seed: int = 0):
        self.steps, self.groups = steps, (classes,)
        rng = torch.Generator().manual_seed(seed)
        ground, _ = Kernels(POINTS, composed=0.7).draw(classes, rng, hardness=0.0)
        self._curves = _unit(ground + _bumps(classes, rng))

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Series (count, steps), float32, and labels (count, 1), int64.

        `hardness` from 0 to 1 scales noise, tilt, and how unevenly a curve is run through.
        """
        (classes,) = self.groups
        which = torch.randint(0, classes, (count,), generator=rng, device=rng.device)
        curves = torch.asarray(self._curves, device=rng.device)[which]
        series = _unit(_at(curves, self._places(count, rng, hardness)))
        tilt = _smooth(count, self.steps, rng) * scales(rng, count, 1, low=0.02, high=0.6)
        tilted = chance(rng, count, 0.6 * hardness)[:, None]
        level = scales(rng, count, 1, low=0.005, high=0.5) * hardness
        series = series + tilt * tilted + level * normal(rng, count, self.steps)
        return _unit(series), which[:, None]

    def _places(self, count: int, rng: torch.Generator, hardness: float) -> Tensor:
        """Where on its curve each step reads, (count, steps) from 0 to 1, never backwards."""
        pace = (0.5 * hardness * _smooth(count, self.steps, rng)).exp().cumsum(1)
        run = (pace - pace[:, :1]) / (pace[:, -1:] - pace[:, :1])
        span = 1 - hardness * uniform(rng, count, 1, high=0.25)
        return run * span + uniform(rng, count, 1) * (1 - span)


def _bumps(count: int, rng: torch.Generator) -> Tensor:
    """Sums of `BUMPS` rises and edges at places of their own, (count, POINTS)."""
    time = torch.linspace(0, 1, POINTS)
    where, width = uniform(rng, count, BUMPS, 1), scales(rng, count, BUMPS, 1, low=0.01, high=0.15)
    away = (time - where) / width
    rise = torch.exp(-0.5 * away.square())
    edge = torch.sigmoid(4 * away)
    size = normal(rng, count, BUMPS, 1) * 2
    kind = chance(rng, count * BUMPS, 0.6).reshape(count, BUMPS, 1)
    return (size * torch.where(kind, rise, edge)).sum(1)


def _smooth(count: int, steps: int, rng: torch.Generator) -> Tensor:
    """Lines (count, steps) through `KNOTS` random heights."""
    return _at(
        normal(rng, count, KNOTS), torch.linspace(0, 1, steps, device=rng.device).expand(count, -1)
    )


def _at(curves: Tensor, places: Tensor) -> Tensor:
    """Curves (count, P) read at places (count, steps) from 0 to 1, between their points."""
    place = places.clamp(0, 1) * (curves.shape[1] - 1)
    left = place.long().clamp(max=curves.shape[1] - 2)
    value = curves.gather(1, left)
    return value + (place - left) * (curves.gather(1, left + 1) - value)


def _unit(series: Tensor) -> Tensor:
    """Mean 0 and variance 1."""
    series = series - series.mean(1, keepdim=True)
    return series / series.std(1, keepdim=True).clamp(min=1e-6)


GENERATOR = Curves
