"""How long a strategy may train on few rows.

A pass over them is a step or two, and trainings on few rows fail for lack of steps more than of rows:
Mosbach, Andriushchenko and Klakow 2021, arXiv:2006.04884; Zhang et al. 2021, arXiv:2006.05987.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection

from headstart.core.strategy import Strategy

STEPS = 200
"""Least steps that a training which ends by patience may take, where nobody named its epochs."""


def lengthened(strategy: Strategy, rows: int, batch: int, given: Collection[str] = ()) -> Strategy:
    """The strategy with so many epochs that they are at least `STEPS` steps, and patience to match.

    Args:
        given: settings that were named; they stay as they are.
    """
    settings = strategy.settings
    patience = getattr(
        settings, "patience", 0
    )  # contrastive has none, and its few passes are meant
    if not patience or {"epochs", "patience"} & set(given):
        return strategy
    factor = STEPS / (settings.epochs * math.ceil(rows / batch))
    if factor <= 1:
        return strategy
    made: Strategy = type(strategy)(
        dataclasses.replace(
            settings,
            epochs=math.ceil(settings.epochs * factor),
            patience=math.ceil(patience * factor),
        )
    )
    made.common = strategy.common
    return made
