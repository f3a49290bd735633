"""An encoder of our own for series: residual blocks of convolutions with short and long filters.

InceptionTime (Ismail Fawaz et al. 2020, arXiv:1909.04939) without its pooling branch, which would read the
padding; after the first blocks the steps are halved, so that long series stay affordable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LENGTHS = (3, 9, 19, 39)
"""Filter lengths; each gives a quarter of a block's channels."""


APART = 2
"""Columns of a channel that is read by itself: its values, and where they are missing."""


class MaskedNorm(nn.BatchNorm1d):
    """Batch normalisation over real places only, so that padding moves no statistics.

    Input and output (N, C, T); `mask` (N, 1, T), 1 at real places.
    """

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        if not self.training:
            return super().forward(values)
        count = mask.sum().clamp(min=1.0)
        mean = (values * mask).sum((0, 2)) / count
        squares = ((values - mean[:, None]) ** 2 * mask).sum((0, 2))
        spread = squares / count
        with torch.no_grad():
            rate = float(self.momentum or 0.0)
            self.num_batches_tracked.add_(1)  # type: ignore[operator]
            self.running_mean.lerp_(mean, rate)  # type: ignore[union-attr]
            self.running_var.lerp_(squares / (count - 1.0).clamp(min=1.0), rate)  # type: ignore[union-attr]
        scaled = (values - mean[:, None]) / torch.sqrt(spread + self.eps)[:, None]
        return scaled * self.weight[:, None] + self.bias[:, None]


class Block(nn.Module):
    """(N, C, T) -> (N, width, T): filters of four lengths side by side, and a short cut around them."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        quarter = width // len(LENGTHS)
        self.narrow = nn.Conv1d(channels, quarter, 1, bias=False)
        self.filters = nn.ModuleList(
            nn.Conv1d(quarter, quarter, n, padding=n // 2, bias=False) for n in LENGTHS
        )
        self.norm = MaskedNorm(width)
        self.around = nn.Conv1d(channels, width, 1, bias=False)
        self.around_norm = MaskedNorm(width)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """`values` are 0 where `mask` (N, 1, T) is, and so is what comes out."""
        narrow = self.narrow(values)
        wide = torch.cat([one(narrow) for one in self.filters], 1)
        total = self.norm(wide, mask) + self.around_norm(self.around(values), mask)
        return torch.relu(total) * mask


class Encoder(nn.Module):
    """values (N, T, channels) and mask (N, T) -> (N, T', width) and its mask.

    Args:
        blocks: how many.
        halved: after how many of the first blocks every second step is left out, the larger of two
            neighbours kept.
        apart: 1 if it reads each channel of a series by itself, its values and its gaps (`APART`
            columns), so that any number of channels can be read.
    """

    def __init__(
        self, channels: int, width: int = 64, blocks: int = 4, halved: int = 2, apart: int = 0
    ) -> None:
        super().__init__()
        self.channels, self.width, self.halved, self.apart = channels, width, halved, apart
        self.blocks = nn.ModuleList(Block(width if i else channels, width) for i in range(blocks))

    def block(self, number: int, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """One block: (N, T, C) and (N, T) bool -> (N, T', width) and (N, T') bool."""
        real = mask[:, None].to(values.dtype)
        made = self.blocks[number](values.transpose(1, 2) * real, real)
        if number < self.halved:  # values are 0 or more, so padding of 0 is never the larger
            made, mask = functional.max_pool1d(made, 3, 2, 1), mask[:, ::2]
        return made.transpose(1, 2), mask

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(N, width): the mean over real places."""
        for number in range(len(self.blocks)):
            values, mask = self.block(number, values, mask)
        return mean(values, mask)


def columns(inputs: Mapping[str, Tensor]) -> Tensor:
    """All that is told of each step, side by side: "values" (N, T, C), "gaps" (N, T) and, the same at
    every step, "level" (N, 1, 2 C) -> (N, T, width)."""
    parts = [inputs["values"]]
    if "gaps" in inputs:
        parts.append(inputs["gaps"].unsqueeze(2))
    if "level" in inputs:
        parts.append(inputs["level"].expand(-1, inputs["values"].shape[1], -1))
    return torch.cat(parts, 2)


def split(inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Each channel beside the mark of gaps, (N C, T, APART), and the level (N, T, 2 C), or (N, T, 0)."""
    values = inputs["values"]
    gaps = inputs["gaps"].unsqueeze(2) if "gaps" in inputs else torch.zeros_like(values[..., :1])
    each = torch.stack([values, gaps.expand_as(values)], 3)
    level = inputs["level"] if "level" in inputs else values[:, :1, :0]
    return each.transpose(1, 2).flatten(0, 1), level.expand(-1, values.shape[1], -1)


def mean(values: Tensor, mask: Tensor) -> Tensor:
    """(N, T, C) and (N, T) -> (N, C), over real places."""
    weight = mask.unsqueeze(-1).to(values.dtype)
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1.0)


def builder(**shape: Any) -> Callable[[int], Encoder]:
    """seed -> an encoder of that shape with random weights; the global generator is left alone."""

    def build(seed: int) -> Encoder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Encoder(**shape).eval()

    return build
