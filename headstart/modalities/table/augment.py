"""Variations of encoded rows by name: noise, columns left out, corrupted cells (SCARF, Bahri et al. 2022,
arXiv:2106.15147, with standard normal numbers in the place of other rows' values)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.core.augment import Policy, Variation

NOISE, SCALING, SHARE, MOST = 0.1, 0.1, 0.1, 0.9
CLIP = 3.0

Part = tuple[np.ndarray, int]

VARIATIONS = {
    "feature_noise": Variation("noise of 0.1 of a column's spread on every number"),
    "feature_scaling": Variation("every number larger or smaller, by a tenth on average"),
    "column_dropout": Variation("a tenth of the columns at their middle"),
    "corruption": Variation("a tenth of the cells drawn anew, numbers and levels"),
}


def vary(parts: Sequence[Part], policy: Policy, rng: np.random.Generator) -> None:
    """Changes a row in place as the policy draws.

    Args:
        parts: of each column a view of the row, its number in front, and how many levels it has; 0: a number.
    """
    for name, size in policy.draw(rng):
        hit = rng.random(len(parts)) < min(SHARE * size, MOST)
        drawn = rng.standard_normal(len(parts))
        for (part, levels), here, by in zip(parts, hit, drawn, strict=True):
            _change(name, part, levels, bool(here), float(by), size)


def _change(name: str, part: np.ndarray, levels: int, here: bool, by: float, size: float) -> None:
    number = levels == 0
    if name == "feature_noise" and number:
        part[0] += NOISE * size * by
    elif name == "feature_scaling" and number:
        part[0] *= 1.0 + SCALING * size * by
    elif name == "column_dropout" and here:
        part[:] = 0.0
    elif name == "corruption" and here and number:
        part[0] = by / np.sqrt(1.0 + (by / CLIP) ** 2)
    elif name == "corruption" and here:
        part[:levels] = 0.0
        part[-2:] = 0.0
        # evenly over the levels, by the normal's own ranks
        part[int(abs(by) * 1e6) % levels] = 1.0
