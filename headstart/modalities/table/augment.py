"""Variations of encoded rows by name: noise, columns left out, corrupted cells (SCARF, Bahri et al. 2022,
arXiv:2106.15147, with standard normal numbers in the place of other rows' values)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from headstart.core.augment import Policy, Variation

NOISE, SCALING, SHARE, MOST = 0.1, 0.1, 0.1, 0.9
CLIP = 3.0


class Part(NamedTuple):
    """A column of an encoded row.

    Attributes:
        values: view of the row, the column's number in front.
        levels: how many it has; 0: a number.
        missing: whether the row has no value of it.
        flagged: whether the last value tells that.
    """

    values: np.ndarray
    levels: int = 0
    missing: bool = False
    flagged: bool = False


VARIATIONS = {
    "feature_noise": Variation("noise of 0.1 of a column's spread on every number"),
    "feature_scaling": Variation("every number larger or smaller, by a tenth on average"),
    "column_dropout": Variation("a tenth of the columns at their middle"),
    "corruption": Variation("a tenth of the cells drawn anew, numbers and levels"),
}


def vary(parts: Sequence[Part], policy: Policy, rng: np.random.Generator) -> None:
    """Changes a row in place as the policy draws."""
    for name, size in policy.draw(rng):
        hit = rng.random(len(parts)) < min(SHARE * size, MOST)
        drawn = rng.standard_normal(len(parts))
        for part, here, by in zip(parts, hit, drawn, strict=True):
            _change(name, part, bool(here), float(by), size)


def _change(name: str, part: Part, here: bool, by: float, size: float) -> None:
    values, number = part.values, part.levels == 0
    there = number and not part.missing
    if name == "feature_noise" and there:
        values[0] += NOISE * size * by
    elif name == "feature_scaling" and there:
        values[0] *= 1.0 + SCALING * size * by
    elif name == "column_dropout" and here:
        values[:] = 0.0
    elif name == "corruption" and here and number:
        values[0] = by / np.sqrt(1.0 + (by / CLIP) ** 2)
        if part.flagged:
            values[-1] = 0.0
    elif name == "corruption" and here:
        values[: part.levels] = 0.0
        values[-2:] = 0.0
        # evenly over the levels, by the normal's own ranks
        values[int(abs(by) * 1e6) % part.levels] = 1.0
