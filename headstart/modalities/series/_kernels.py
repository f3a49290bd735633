"""Random convolutions: features of a series by formula, nothing pretrained.

ROCKET (Dempster, Petitjean and Webb 2020, arXiv:1910.13051) draws filters of length 9 with random weights
and dilations, and keeps of each response the largest value and the share of steps above a bias; MiniRocket
(arXiv:2012.08791) takes several biases a filter. Here the response is measured in its own deviation first, so
that filters of every scale are used whatever the series' smoothness, and the deviation is kept too. A series'
own level stands beside them, repeated, so that a penalty on the head's weights does not drown a few columns
in thousands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.network import MASK, Backbone, State
from headstart.modalities.series import network

TAPS = 9
SHARES = 4
"""Biases of a filter, each with its share of steps above it. With as many features in all, 2, 4 and 8 do as
well within the error on training rows (`benchmarks.constants`: -0.2 ± 0.6 and +1.6 ± 1.0 points of accuracy,
no less log loss)."""
SPREAD = 1.0
"""Of the biases, in the response's deviations; half of it does as well (there: +0.3 ± 0.4 points)."""
FEATURES = SHARES + 2
"""Of each filter: the shares, the largest response, the log deviation."""
SOFT = 0.1
"""The share counts a step by a ramp of this width (in deviations), not by a jump: rounding then moves a
feature by rounding, alone as in company, and a gradient goes through."""
FLOOR = 1e-3
"""Deviation below which a response is taken as flat; series have a deviation of about 1."""
LEVEL = 0.12
"""Share of the features that the level takes. Folds within the training parts of six UCR and UEA sets, and
two loads of the bearing (`benchmarks.constants`): without the level the log loss is 0.047 ± 0.019 higher
(0.22 for 0.07 on JapaneseVowels), with 0.06 it is 0.012 ± 0.007 higher, with 0.25 0.009 ± 0.006 lower."""
BLOCK = 1 << 18
"""Responses, 1 MB, that are held at once, so that they stay in a core's cache."""
WIDE = "wide"


class RandomConvolutions(Backbone):
    """Values (N, T, C) and marks of gaps -> {"wide": (N, 6 K)}, with the level's repeated columns behind.

    Args:
        channels: D, with the mark.
        levels: columns of the level; 0 without.
        steps: length of a long training series; the widest filter spans it.
        kernels: K.
    """

    stages = ("kernels",)

    def __init__(
        self, channels: int, steps: int, *, levels: int = 0, kernels: int, seed: int
    ) -> None:
        super().__init__()
        self.repeats = max(1, round(LEVEL * FEATURES * kernels / levels)) if levels else 0
        self.width = FEATURES * kernels + self.repeats * levels
        drawn = draw(channels, steps, kernels=kernels, seed=seed)
        self.dilations = tuple(drawn)
        with torch.inference_mode(False):  # staged without gradients, they may still be trained
            self.filters = nn.ParameterList(
                nn.Parameter(torch.from_numpy(drawn[d][0]).clone()) for d in drawn
            )
            self.biases = nn.ParameterList(
                nn.Parameter(torch.from_numpy(drawn[d][1]).clone()) for d in drawn
            )

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Inputs in; {"wide": (N, width)} out after the one stage."""
        if start >= 1 or stop == 0:
            return dict(state)
        columns = network.columns({k: v for k, v in state.items() if k != "level"})
        real = state[MASK][:, None].to(columns.dtype)
        values = columns.transpose(1, 2) * real
        kernels = max(len(f) for f in self.filters)
        rows = max(1, BLOCK // (kernels * values.shape[2]))
        blocks = zip(values.split(rows), real.split(rows), strict=True)
        wide = torch.cat([self._block(*block) for block in blocks])
        if self.repeats:
            wide = torch.cat([wide, state["level"][:, 0].repeat(1, self.repeats)], 1)
        return {WIDE: wide}

    def _block(self, values: Tensor, real: Tensor) -> Tensor:
        """Columns (N, D, T) and their marks (N, 1, T) -> features (N, 6 K)."""
        made, count = [], real.sum(2)
        for dilation, weight, bias in zip(self.dilations, self.filters, self.biases, strict=True):
            pad = dilation * (TAPS // 2)
            response = functional.conv1d(values, weight, padding=pad, dilation=dilation)
            made += _features(response, bias, real, count)
        return torch.cat(made, 1)

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, width)."""
        return state[WIDE]

    def stage_of(self, name: str) -> int:
        """0: there is one stage."""
        return 0


def _features(response: Tensor, bias: Tensor, real: Tensor, count: Tensor) -> list[Tensor]:
    """Response (N, k, T), biases (4, k), (N, 1, T), (N, 1) -> six times (N, k)."""
    whole = bool(real.all())

    def marked(values: Tensor) -> Tensor:
        return values if whole else values * real

    mean = marked(response).sum(2) / count
    away = marked(response - mean[:, :, None])
    deviation = torch.sqrt((away * away).sum(2) / count + FLOOR**2)
    ratio = away / deviation[:, :, None]
    ramps = (torch.add((0.5 - b / SOFT)[:, None], ratio, alpha=1 / SOFT) for b in bias)
    shares = [marked(torch.clamp(r, 0.0, 1.0)).sum(2) / count for r in ramps]
    return [*shares, ratio.amax(2), torch.log(deviation)]


def draw(
    channels: int, steps: int, *, kernels: int, seed: int
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """dilation -> filters (k, channels, 9) of norm 1 and sum 0, and biases (4, k) in deviations.

    A filter reads one channel or several, as ROCKET draws them: 2^u of them. Dilations are powers of
    two up to the one whose filter spans the series. Biases are quantiles of a standard normal. The
    generator is numpy's legacy one because its stream is frozen: every version draws the same.
    """
    rng = np.random.RandomState(seed)
    most = max(0, int(math.log2(max(1.0, (steps - 1) / (TAPS - 1)))))
    made: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    for place in range(kernels):
        dilation = 2 ** (place % (most + 1))
        read = rng.permutation(channels)[: int(2 ** rng.uniform(0, math.log2(channels + 1)))]
        weight = np.zeros((channels, TAPS))
        weight[read] = rng.standard_normal((len(read), TAPS))
        weight[read] -= weight[read].mean(axis=1, keepdims=True)
        filters, biases = made.setdefault(dilation, ([], []))
        filters.append(weight / np.linalg.norm(weight))
        biases.append(np.clip(SPREAD * rng.standard_normal(SHARES), -2.0, 2.0))
    return {
        d: (np.stack(f).astype(np.float32), np.stack(b, 1).astype(np.float32))
        for d, (f, b) in made.items()
    }
