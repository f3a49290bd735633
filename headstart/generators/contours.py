"""Closed orbits: a class is a radius as a function of the angle, drawn filled or as lines.

After VisualAtom and its sinusoidal contours (arXiv:2303.01112), with polygons and stars added.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.generators import ink

ANGLES = 128  # samples of the radius around the circle
JITTER = 5  # harmonics of the change within a class


class Contours:
    """`classes` random closed curves around the origin."""

    def __init__(self, classes: int, seed: int):
        rng = torch.Generator().manual_seed(seed)
        self.classes = classes
        rows = [_orbit(rng) if i % 2 else _polygon(rng) for i in range(classes)]
        self.radius = torch.stack(rows)  # (classes, ANGLES), largest value 1

    def draw(self, labels: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Masks (N, size, size) in [0, 1]; half are filled, half are one or two lines."""
        count = len(labels)
        radius = _jitter(self.radius[labels], rng)
        matrix, shift = ink.place(rng, count, turn=0.35, scale=(0.4, 0.95), squeeze=0.4)
        filled = _fill(radius, matrix, shift, size)
        lined = _outline(radius, matrix, shift, size, rng)
        hollow = ink.chance(rng, count, 0.5)[:, None, None]
        return torch.where(hollow, lined, filled)


def _circle() -> Tensor:
    return torch.arange(ANGLES, dtype=torch.float32) * (2 * math.pi / ANGLES)


def _orbit(rng: torch.Generator) -> Tensor:
    """One plus two or three sine waves of 2 to 9 turns, (ANGLES,)."""
    angle, radius = _circle(), torch.ones(ANGLES)
    for _ in range(int(torch.randint(2, 4, (1,), generator=rng))):
        turns = int(torch.randint(2, 10, (1,), generator=rng))
        height = ink.uniform(rng, 1, low=0.12, high=0.5)
        radius = radius + height * torch.sin(turns * angle + ink.uniform(rng, 1, high=2 * math.pi))
    return radius.clamp(min=0.1) / radius.max()


def _polygon(rng: torch.Generator) -> Tensor:
    """A polygon or star with 3 to 9 corners at uneven angles and distances, (ANGLES,)."""
    corners = int(torch.randint(3, 10, (1,), generator=rng))
    gaps = ink.uniform(rng, corners, low=0.5, high=1.5)
    where = torch.cumsum(gaps, 0) / gaps.sum() * 2 * math.pi
    where = where + ink.uniform(rng, 1, high=2 * math.pi)
    far = ink.uniform(rng, corners, low=0.35, high=1.0)
    far[:: int(torch.randint(1, 3, (1,), generator=rng))] = 1.0
    x, y = far * where.cos(), far * where.sin()
    angle = _circle()[:, None]
    ahead = torch.remainder(angle - where, 2 * math.pi)
    left = ahead.argmin(1)
    right = (left + 1) % corners
    edge_x, edge_y = x[right] - x[left], y[right] - y[left]
    cos, sin = angle[:, 0].cos(), angle[:, 0].sin()
    across = cos * edge_y - sin * edge_x
    radius = (x[left] * edge_y - y[left] * edge_x) / across.where(
        across.abs() > 1e-3, torch.ones(())
    )
    return radius.clamp(0.1, 1.0)


def _jitter(radius: Tensor, rng: torch.Generator) -> Tensor:
    """Adds slow harmonics of a few percent to radii (N, ANGLES)."""
    angle = _circle()[None] * torch.arange(1, JITTER + 1)[:, None]
    waves = torch.cat([angle.cos(), angle.sin()])
    amount = torch.randn(len(radius), 2 * JITTER, generator=rng) * 0.025
    return (radius * (1 + amount @ waves)).clamp(min=0.05)


def _fill(radius: Tensor, matrix: Tensor, shift: Tensor, size: int) -> Tensor:
    """Inside of the curve: pixels are carried back to the curve's own plane."""
    count = len(radius)
    axis = ink.pixel_axis(size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pixel = torch.stack([x, y], -1).reshape(1, -1, 2) - shift[:, None]
    pixel = pixel @ torch.linalg.inv(matrix).transpose(1, 2)
    angle = torch.atan2(pixel[..., 1], pixel[..., 0]) % (2 * math.pi)
    place = angle * (ANGLES / (2 * math.pi))
    left = place.floor().long() % ANGLES
    part = place - place.floor()
    border = radius.gather(1, left) * (1 - part) + radius.gather(1, (left + 1) % ANGLES) * part
    depth = (border - pixel.norm(dim=-1)) * matrix.det().abs().sqrt()[:, None]
    return (depth * (size / 2) + 0.5).clamp(0, 1).reshape(count, size, size)


def _outline(
    radius: Tensor, matrix: Tensor, shift: Tensor, size: int, rng: torch.Generator
) -> Tensor:
    """The curve as a line, in some pictures with a smaller copy inside it."""
    count = len(radius)
    angle = _circle()
    curve = radius[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    curve = torch.cat([curve, curve[:, :1]], 1)
    inner = ink.uniform(rng, count, 1, 1, low=0.35, high=0.75)
    curves = torch.stack([curve, curve * inner], 1)
    points = torch.einsum("nij,nstj->nsti", matrix, curves) + shift[:, None, None]
    width = ink.uniform(rng, count, 1, 1, low=0.9 / size, high=3.0 / size)
    present = torch.stack([torch.ones(count), ink.chance(rng, count, 0.3).float()], 1)
    edge = ink.uniform(rng, count, low=1.2, high=4.0)
    return ink.line(points, width.expand(-1, 2, ANGLES + 1), present, size, edge)
