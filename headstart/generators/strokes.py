"""Glyphs of one to three pen strokes: a class is a glyph, its samples are handwritings of it.

The idea of writing as few parametrised strokes that start free or on an earlier stroke follows
Bayesian program learning (Lake et al. 2015); here a class is a formula and no alphabet is used.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.generators import ink

STEPS = 64  # points on a stroke
STROKES = 3  # most strokes in a glyph
WAVES = 3  # cosines of the tremor along a stroke


class Strokes:
    """`classes` random glyphs."""

    def __init__(self, classes: int, seed: int):
        rng = torch.Generator().manual_seed(seed)
        glyphs = [_glyph(rng) for _ in range(classes)]
        self.classes = classes
        self.points = torch.stack([points for points, _ in glyphs])  # (classes, S, T, 2)
        self.present = torch.stack([present for _, present in glyphs])  # (classes, S)

    def draw(self, labels: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Masks (N, size, size) in [0, 1] of the glyphs `labels` (N,), each in its own hand."""
        count = len(labels)
        points = _tremble(self.points[labels], rng)
        points = _warp(points, rng)
        matrix, shift = ink.place(rng, count, turn=0.25, scale=(0.5, 1.0), squeeze=0.45, slant=0.3)
        points = torch.einsum("nij,nstj->nsti", matrix, points) + shift[:, None, None]
        extent = matrix.det().abs().sqrt()[:, None, None]
        base = ink.uniform(rng, count, 1, 1, low=math.log(0.035), high=math.log(0.16)).exp()
        width = (base * extent).clamp(min=0.9 / size) * _swell(count, rng)
        edge = ink.uniform(rng, count, low=1.2, high=4.0)
        return ink.line(points, width, self.present[labels], size, edge)


def _glyph(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (S, T, 2), centred and scaled to fill [-1, 1], and which strokes exist (S,)."""
    number = 1 + int(torch.multinomial(torch.tensor([0.42, 0.38, 0.2]), 1, generator=rng))
    strokes: list[Tensor] = []
    for _ in range(number):
        stroke = _stroke(rng)
        if strokes and torch.rand(1, generator=rng) < 0.6:  # begins on an earlier stroke
            earlier = strokes[int(torch.randint(len(strokes), (1,), generator=rng))]
            joint = int(torch.randint(3, (1,), generator=rng)) * (STEPS - 1) // 2
            stroke = stroke - stroke[:1] + earlier[joint]
        strokes.append(stroke)
    points = torch.stack(strokes)
    low, high = points.amin((0, 1)), points.amax((0, 1))
    half = ((high - low) / 2).clamp(min=0.05)
    narrow = half / half.max()
    points = (points - (low + high) / 2) / half * narrow.clamp(min=0.15).sqrt()
    present = (torch.arange(STROKES) < number).float()
    return torch.cat([points, points[:1].expand(STROKES - number, -1, -1)]), present


def _stroke(rng: torch.Generator) -> Tensor:
    """One stroke, (T, 2): a line, an arc or loop, a smooth curve, or a line with corners."""
    kind = float(torch.rand(1, generator=rng))
    time = torch.linspace(0, 1, STEPS)
    if kind < 0.3:  # an elliptic arc, from a quarter turn to a closed loop
        start = ink.uniform(rng, 1, high=2 * math.pi)
        sweep = ink.uniform(rng, 1, low=0.5 * math.pi, high=2.2 * math.pi).clamp(max=2 * math.pi)
        way = 1.0 if torch.rand(1, generator=rng) < 0.5 else -1.0
        angle = start + way * sweep * time
        radii = ink.uniform(rng, 2, low=0.3, high=1.0)
        centre = ink.uniform(rng, 2, low=-0.6, high=0.6)
        return torch.stack([angle.cos(), angle.sin()], -1) * radii + centre
    corners = 2 if kind < 0.5 else int(torch.randint(3, 6, (1,), generator=rng))
    knots = _apart(rng, corners)
    return _spline(knots) if kind < 0.8 else _polyline(knots)


def _apart(rng: torch.Generator, count: int) -> Tensor:
    """`count` points in [-1, 1]^2, each at least 0.6 from the one before, (count, 2)."""
    knots = [ink.uniform(rng, 2, low=-1, high=1)]
    while len(knots) < count:
        point = ink.uniform(rng, 2, low=-1, high=1)
        if (point - knots[-1]).norm() > 0.6:
            knots.append(point)
    return torch.stack(knots)


def _polyline(knots: Tensor) -> Tensor:
    """Straight pieces through knots (K, 2) at even pace in the knots' index, (T, 2)."""
    place = torch.linspace(0, len(knots) - 1, STEPS)
    left = place.floor().long().clamp(max=len(knots) - 2)
    part = (place - left)[:, None]
    return knots[left] * (1 - part) + knots[left + 1] * part


def _spline(knots: Tensor) -> Tensor:
    """Catmull-Rom curve through knots (K, 2), (T, 2)."""
    padded = torch.cat([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    place = torch.linspace(0, len(knots) - 1, STEPS)
    left = place.floor().long().clamp(max=len(knots) - 2)
    u = (place - left)[:, None]
    a, b, c, d = (padded[left + i] for i in range(4))
    cubic = (3 * b - a - 3 * c + d) * u**3 + (2 * a - 5 * b + 4 * c - d) * u**2
    return 0.5 * (2 * b + (c - a) * u + cubic)


def _tremble(points: Tensor, rng: torch.Generator) -> Tensor:
    """Moves, turns and scales every stroke a little and bends it by slow cosines; (N, S, T, 2)."""
    count, strokes, steps, _ = points.shape
    time = torch.linspace(0, math.pi, steps)
    waves = torch.cos(time[None] * torch.arange(1, WAVES + 1)[:, None])  # (W, T)
    strength = ink.uniform(rng, count, 1, 1, 1, high=0.13)
    bend = torch.randn(count, strokes, 2, WAVES, generator=rng) * strength
    bend = bend / torch.arange(1, WAVES + 1)
    points = points + torch.einsum("nsdw,wt->nstd", bend, waves)
    centre = points.mean(2, keepdim=True)
    angle = torch.randn(count, strokes, 1, generator=rng) * 0.08
    size = 1 + torch.randn(count, strokes, 1, 1, generator=rng) * 0.08
    x, y = (points - centre).unbind(-1)
    turned = torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], -1)
    return turned * size + centre + torch.randn(count, strokes, 1, 2, generator=rng) * 0.06


def _warp(points: Tensor, rng: torch.Generator) -> Tensor:
    """Bends the whole plane by two slow sine waves a coordinate; (N, S, T, 2)."""
    count = len(points)
    wave = torch.randn(count, 2, 2, 2, generator=rng) * 1.6
    phase = ink.uniform(rng, count, 1, 1, 2, 2, high=2 * math.pi)
    height = torch.randn(count, 1, 1, 2, 2, generator=rng) * 0.07
    turn = torch.einsum("nabj,nstj->nstab", wave, points) + phase
    return points + (height * turn.sin()).sum(-1)


def _swell(count: int, rng: torch.Generator) -> Tensor:
    """Pressure of the pen along each stroke, around one, (N, S, T)."""
    time = torch.linspace(0, 2 * math.pi, STEPS)
    speed = ink.uniform(rng, count, STROKES, 1, low=0.3, high=1.5)
    phase = ink.uniform(rng, count, STROKES, 1, high=2 * math.pi)
    height = ink.uniform(rng, count, 1, 1, high=0.35)
    return 1 + height * torch.sin(time * speed + phase)
