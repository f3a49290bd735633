"""Networks of tables: random features, a source by formula, and prior-fitted ones (`in_context.py`).

Rahimi and Recht, "Random features for large-scale kernel machines" (NeurIPS 2007): the inner product of
cosines of random projections approximates a Gaussian kernel. A linear head on them is a kernel machine;
the encoded columns stand beside them, so that what is linear stays easy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.modality import Transform
from headstart.core.network import Backbone, State
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities.table import in_context, prior_fitted
from headstart.modalities.table.prior_fitted import PriorFitted

ROW, WIDE = "row", "wide"
SCALES = (1.0, 2.0)
"""Bandwidths as multiples of the median distance, each with half of the random features.

Of 1, 2, (0.5, 1, 2), (1, 2, 4) and (1, 2), the last had the best mean rank over seven small tables.
"""


class RandomFeatures(Backbone):
    """x (N, D) -> (N, D + M): the columns, and cos(x W + b) with W, b drawn from a seed.

    State: {"row": (N, D)} after `encode`, {"wide": (N, D + M)} after `random`. W and b are parameters,
    so that the digest covers them and fine-tuning may move them.
    """

    stages = ("encode", "random")

    def __init__(self, width_in: int, *, features: int, bandwidth: float, seed: int) -> None:
        super().__init__()
        self.width = width_in + features
        with torch.inference_mode(False):  # staged without gradients, they may still be trained
            plain: Any = nn.utils.skip_init  # leaves torch's global generator alone
            self.random: nn.Linear = plain(nn.Linear, width_in, features)
            drawn = draw(width_in, features, bandwidth=bandwidth, seed=seed)
            self.random.load_state_dict(drawn)

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """{"row": (N, D)} in; {"wide": (N, D + M)} out after both stages."""
        end = len(self.stages) if stop is None else stop
        if end < 2 or start >= 2:
            return dict(state)
        row = state[ROW]
        # In double precision, so that a row's features do not depend on how many rows come with it.
        weight, bias = self.random.weight.double(), self.random.bias.double()
        waves = math.sqrt(2.0) * torch.cos(nn.functional.linear(row.double(), weight, bias))
        return {WIDE: torch.cat([row, waves.to(row.dtype)], dim=1)}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, D + M)."""
        return state[WIDE]

    def stage_of(self, name: str) -> int:
        """1: the first stage has no parameters."""
        return 1


def draw(width_in: int, features: int, *, bandwidth: float, seed: int) -> dict[str, Tensor]:
    """{"weight": (M, D) normal / bandwidth, "bias": (M,) uniform in [0, 2 pi)}.

    The generator is numpy's legacy one because its stream is frozen: every version draws the same.
    """
    rng = np.random.RandomState(seed)
    weight = rng.standard_normal((features, width_in))
    scales = np.resize(SCALES, features)[:, None] * bandwidth
    bias = rng.uniform(0.0, 2.0 * math.pi, features)
    return {
        "weight": torch.from_numpy((weight / scales).astype(np.float32)),
        "bias": torch.from_numpy(bias.astype(np.float32)),
    }


def build(card: Mapping[str, Any]) -> tuple[Callable[[int], nn.Module], dict[str, Any]] | None:
    """Maker (seed -> network with random weights) and preprocessing of weights in a file; None for what is no
    network of tables."""
    shape = prior_fitted.said(str(card.get("architecture", "")))
    if shape is None:
        return None
    return (lambda seed: prior_fitted.drawn(shape, seed)), {}


def stage(loaded: Loaded, transform: Transform) -> Backbone:
    """The prior-fitted network, or the random features, for rows as `transform` encodes them.

    Raises:
        SourceError: the source reads no tables.
    """
    if isinstance(loaded.module, PriorFitted):
        return in_context.Rows(loaded.module, int(transform.width))  # type: ignore[attr-defined]
    if loaded.config.get("architecture") != "random_features":
        raise SourceError(
            f"'{loaded.source.uri}' cannot read tables. Choose builtin:random-features."
        )
    return RandomFeatures(
        int(transform.width),  # type: ignore[attr-defined]
        features=int(loaded.config.get("features", 512)),
        bandwidth=float(transform.bandwidth),  # type: ignore[attr-defined]
        seed=int(loaded.config.get("seed", 0)),
    )


def reference(loaded: Loaded, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """{}: a formula has no untouched network to be compared with."""
    return {}
