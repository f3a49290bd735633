"""Grounds without objects: coloured noise with a power-law spectrum, gratings and cells.

Power-law spectra are the simplest of the noise models that teach useful features
(arXiv:2106.05963). A class fixes slope, direction, scale and kind; colours are free.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.generators import ink


class Textures:
    """`classes` kinds of texture with `each` kept samples of `side` pixels, cut at random."""

    def __init__(self, classes: int, seed: int, each: int = 24, side: int = 96):
        rng = torch.Generator().manual_seed(seed)
        self.classes = classes
        self.side = side
        rows = [_kind(index, rng, each, side) for index in range(classes)]
        self.planes = torch.stack(rows)  # (classes, each, 2, side, side), mean 0, deviation 1

    def draw(self, labels: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Two planes of texture (N, 2, size, size) of the classes `labels` (N,)."""
        count = len(labels)
        which = torch.randint(0, self.planes.shape[1], (count,), generator=rng)
        corner = torch.randint(0, self.side - size + 1, (2, count), generator=rng).tolist()
        flips = torch.randint(0, 2, (count,), generator=rng).tolist()
        out = torch.empty(count, 2, size, size)
        for i, (label, sample) in enumerate(zip(labels.tolist(), which.tolist(), strict=True)):
            top, left = corner[0][i], corner[1][i]
            cut = self.planes[label, sample, :, top : top + size, left : left + size]
            out[i] = cut.flip(-1).flip(-2) if flips[i] else cut  # half a turn keeps directions
        return out


def _kind(index: int, rng: torch.Generator, each: int, side: int) -> Tensor:
    """Samples (each, 2, side, side) of one class; kinds take turns by index."""
    kind = index % 4
    if kind < 2:
        planes = _noise(rng, each, side)
    elif kind == 2:
        planes = _grating(rng, each, side)
    else:
        planes = _cells(rng, each, side)
    if kind == 1:  # hard patches instead of clouds
        planes = torch.tanh(4 * planes)
    planes = planes - planes.mean((-1, -2), keepdim=True)
    return planes / planes.std((-1, -2), keepdim=True).clamp(min=1e-4)


def _noise(rng: torch.Generator, each: int, side: int) -> Tensor:
    """Gaussian noise, amplitude falling with frequency to the power 0.3 to 2, in a direction."""
    slope = float(ink.uniform(rng, 1, low=0.3, high=2.0))
    angle = float(ink.uniform(rng, 1, high=math.pi))
    stretch = float(ink.uniform(rng, 1, high=1.6).exp())
    floor = float(ink.uniform(rng, 1, low=0.5, high=6.0)) / side
    fy = torch.fft.fftfreq(side)[:, None]
    fx = torch.fft.rfftfreq(side)[None]
    along = fx * math.cos(angle) + fy * math.sin(angle)
    across = -fx * math.sin(angle) + fy * math.cos(angle)
    pace = (along.square() * stretch + across.square() / stretch + floor**2).sqrt()
    white = torch.randn(each, 2, side, side, generator=rng)
    planes = torch.fft.irfft2(torch.fft.rfft2(white) * pace**-slope, s=(side, side))
    return planes / planes.std((-1, -2), keepdim=True)


def _grating(rng: torch.Generator, each: int, side: int) -> Tensor:
    """One or two bent sine waves."""
    axis = torch.arange(side, dtype=torch.float32)
    turns = ink.uniform(rng, 2, low=0.04, high=0.25)
    angle = ink.uniform(rng, 2, high=math.pi)
    second = 1.0 if torch.rand(1, generator=rng) < 0.5 else 0.0
    y, x = axis[:, None], axis[None]
    bend = _noise(rng, each, side) * ink.uniform(rng, 1, low=0.1, high=1.2)
    phase = ink.uniform(rng, each, 2, 1, 1, high=2 * math.pi)
    waves = []
    for i in range(2):
        steady = 2 * math.pi * turns[i] * (x * angle[i].cos() + y * angle[i].sin())
        waves.append(torch.sin(steady + phase[:, i : i + 1] + bend))
    return waves[0] + second * waves[1] + 0.1 * bend


def _cells(rng: torch.Generator, each: int, side: int) -> Tensor:
    """Distance to the nearest of random seeds (cells) and its difference to the second (borders)."""
    seeds = int(torch.randint(20, 160, (1,), generator=rng))
    squash = ink.uniform(rng, 1, low=-0.7, high=0.7).exp()
    axis = ink.pixel_axis(side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    x, y = x.reshape(1, -1), y.reshape(1, -1)
    where = torch.stack([ink.uniform(rng, seeds, 2, low=-1.1, high=1.1) for _ in range(each)], 1)
    first = torch.full((each, side * side), math.inf)
    second = first.clone()
    for one in where:  # (each, 2)
        far = ((x - one[:, :1]) * squash).square() + (y - one[:, 1:]).square()
        second = torch.minimum(second, torch.maximum(first, far))
        first = torch.minimum(first, far)
    near, next_near = first.sqrt(), second.sqrt()
    return torch.stack([near, next_near - near], 1).reshape(each, 2, side, side)
