"""Iterated-function systems: a class is a set of contracting maps, drawn as its attractor.

After FractalDB (arXiv:2101.08515), with maps drawn by their singular values as in
arXiv:2110.03091; a class's samples vary its parameters. Instead of the chaos game every word of
`DEPTH` maps is applied to one point, which needs no random numbers and covers the attractor evenly.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.generators import ink

MAPS = 4
DEPTH = 6  # MAPS ** DEPTH = 4,096 points


class Fractals:
    """`classes` systems of four maps whose attractors cover at least `fill` of a 16 x 16 grid."""

    def __init__(self, classes: int, seed: int, fill: float = 0.2):
        rng = torch.Generator().manual_seed(seed)
        kept: list[Tensor] = []
        while len(kept) < classes:
            systems = _systems(rng, 256)
            cells = ink.scatter(_normal(attractor(systems)) * 0.6, 16) > 0
            covered = cells.float().mean((1, 2))
            kept.extend(systems[(covered >= fill) & (covered < 0.7)])
        self.classes = classes
        self.systems = torch.stack(kept[:classes])  # (classes, MAPS, 2, 3)

    def draw(self, labels: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Masks (N, size, size) in [0, 1] of attractors of the systems `labels` (N,), varied."""
        count = len(labels)
        systems = self.systems[labels]
        systems = systems * (1 + 0.06 * torch.randn(systems.shape, generator=rng))
        systems[..., :2] = systems[..., :2] * ink.uniform(
            rng, count, MAPS, 1, 1, low=0.9, high=1.05
        )
        points = _normal(attractor(systems))
        matrix, shift = ink.place(rng, count, turn=0.35, scale=(0.35, 0.7), squeeze=0.3, slack=0.6)
        points = points @ matrix.transpose(1, 2) + shift[:, None]
        density = ink.scatter(points, size) * (size * size / MAPS**DEPTH)
        gain = ink.uniform(rng, count, 1, 1, low=math.log(0.25), high=math.log(3.0)).exp()
        return 1 - torch.exp(-gain * density)


def attractor(systems: Tensor) -> Tensor:
    """Points (N, MAPS ** DEPTH, 2) near the attractors of systems (N, MAPS, 2, 3)."""
    linear, offset = systems[..., :2], systems[..., 2]
    points = torch.zeros(len(systems), 1, 2)
    for _ in range(DEPTH):
        points = torch.einsum("nmij,npj->nmpi", linear, points) + offset[:, :, None]
        points = points.flatten(1, 2)
    return points


def _systems(rng: torch.Generator, count: int) -> Tensor:
    """Random maps as rotation, scaling, rotation and shift, (count, MAPS, 2, 3)."""
    first = ink.uniform(rng, count, MAPS, high=2 * math.pi)
    second = ink.uniform(rng, count, MAPS, high=2 * math.pi)
    large = ink.uniform(rng, count, MAPS, low=0.35, high=0.8)
    small = large * ink.uniform(rng, count, MAPS, low=0.2, high=1.0)
    flip = torch.randint(0, 2, (count, MAPS), generator=rng) * 2.0 - 1.0
    scale = torch.diag_embed(torch.stack([large, small * flip], -1))
    offset = ink.uniform(rng, count, MAPS, 2, low=-1, high=1)
    return torch.cat([_rotation(first) @ scale @ _rotation(second), offset[..., None]], -1)


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _normal(points: Tensor) -> Tensor:
    """Shifts and scales points (N, P, 2) to mean zero and a spread of 0.75."""
    points = points - points.mean(1, keepdim=True)
    spread = points.square().sum(-1).mean(1).sqrt().clamp(min=1e-4)
    return points * (0.75 / spread)[:, None, None]
