"""Points to pictures, and the random placements that all shapes share.

Coordinates run from -1 to 1 over the picture, x to the right and y downwards.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.generators._random import chance, uniform

__all__ = ["blur", "chance", "line", "pixel_axis", "place", "scatter", "splat", "uniform"]


def pixel_axis(size: int) -> Tensor:
    """Centres of `size` pixels between -1 and 1, shape (size,)."""
    return (torch.arange(size, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0


def place(
    rng: torch.Generator,
    count: int,
    *,
    turn: float = 0.3,
    scale: tuple[float, float] = (0.45, 0.95),
    squeeze: float = 0.25,
    slant: float = 0.25,
    slack: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Random affine placements: matrices (count, 2, 2) and shifts (count, 2).

    `turn` is the largest rotation in radians, `scale` the range of sizes (1 fills the picture),
    `squeeze` the largest log ratio between width and height, `slant` the largest shear, and
    `slack` the part of the free margin that the shift may use.
    """
    angle = uniform(rng, count, low=-turn, high=turn)
    low, high = math.log(scale[0]), math.log(scale[1])
    size = uniform(rng, count, low=low, high=high).exp()
    ratio = uniform(rng, count, low=-squeeze, high=squeeze).exp().sqrt()
    shear = uniform(rng, count, low=-slant, high=slant)
    cos, sin = angle.cos(), angle.sin()
    wide, tall = size * ratio, size / ratio
    matrix = torch.stack(
        [
            torch.stack([cos * wide, (cos * shear - sin) * tall], -1),
            torch.stack([sin * wide, (sin * shear + cos) * tall], -1),
        ],
        1,
    )
    margin = (1.05 - size).clamp(min=0.05)[:, None] * slack
    return matrix, uniform(rng, count, 2, low=-1, high=1) * margin


def splat(points: Tensor, width: Tensor, weight: Tensor, size: int) -> Tensor:
    """Sum of Gaussian dots, by one batched product of separable profiles.

    points (N, P, 2), width (N, P) standard deviation in picture units, weight (N, P);
    returns (N, size, size).
    """
    axis = pixel_axis(size)
    sharpness = (0.5 / width.square())[..., None]
    across = torch.exp(-(axis - points[..., :1]).square() * sharpness)
    down = torch.exp(-(axis - points[..., 1:]).square() * sharpness) * weight[..., None]
    return down.transpose(1, 2) @ across


def line(points: Tensor, width: Tensor, present: Tensor, size: int, edge: Tensor) -> Tensor:
    """Draws curves as ink of varying width.

    points (N, S, T, 2): S curves of T points each; width (N, S, T): standard deviation in picture
    units; present (N, S): which curves exist; edge (N,): steepness of the border. Each dot weighs
    the length of curve it stands for over its width, so that the middle of a straight line sums
    to one whatever the pace; a ramp around one half then gives the border. Returns (N, size, size)
    in [0, 1].
    """
    count, curves, steps, _ = points.shape
    pace = (points[:, :, 1:] - points[:, :, :-1]).norm(dim=-1)
    pace = torch.cat([pace, pace[:, :, -1:]], -1)
    weight = pace / (width * math.sqrt(2 * math.pi)) * present[..., None]
    flat = curves * steps
    ink = splat(
        points.reshape(count, flat, 2),
        width.reshape(count, flat),
        weight.reshape(count, flat),
        size,
    )
    return ((ink - 0.5) * edge[:, None, None] + 0.5).clamp(0, 1)


def scatter(points: Tensor, size: int) -> Tensor:
    """Counts points by pixel: points (N, P, 2) to (N, size, size); points outside are left out."""
    count = len(points)
    cell = ((points + 1) * (size / 2)).floor()
    inside = ((cell >= 0) & (cell < size)).all(-1)
    cell = cell.clamp(0, size - 1).long()
    index = torch.arange(count)[:, None] * (size * size) + cell[..., 1] * size + cell[..., 0]
    grid = torch.zeros(count * size * size)
    grid.index_add_(0, index.reshape(-1), inside.reshape(-1).float())
    return grid.reshape(count, size, size)


def blur(pictures: Tensor, width: float) -> Tensor:
    """Gaussian blur of (N, C, H, W) by `width` pixels, borders repeated."""
    reach = max(1, math.ceil(2.5 * width))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / width).square())
    kernel = kernel / kernel.sum()
    channels = pictures.shape[1]
    padded = torch.nn.functional.pad(pictures, (reach,) * 4, mode="replicate")
    rows = kernel.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1)
    columns = kernel.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1)
    once = torch.nn.functional.conv2d(padded, rows, groups=channels)
    return torch.nn.functional.conv2d(once, columns, groups=channels)
