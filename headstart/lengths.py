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
    """The strategy with so many epochs that they are at least `STEPS` steps.

    Its patience grows as they do, to no more than a quarter of them.

    Args:
        given: settings that were named; they stay as they are.
    """
    settings = strategy.settings
    patience = getattr(settings, "patience", 0)  # contrastive has none: its few passes are meant
    if not patience or {"epochs", "patience"} & set(given):
        return strategy
    factor = STEPS / (settings.epochs * math.ceil(rows / batch))
    if factor <= 1:
        return strategy
    epochs = math.ceil(settings.epochs * factor)
    longer = max(patience, min(math.ceil(patience * factor), epochs // 4))
    made: Strategy = type(strategy)(dataclasses.replace(settings, epochs=epochs, patience=longer))
    made.common = strategy.common
    return made
