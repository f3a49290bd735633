"""How long a strategy may train on few rows.

A pass over them is a step or two, and trainings on few rows fail for lack of steps more than of rows:
Mosbach, Andriushchenko and Klakow 2021, arXiv:2006.04884; Zhang et al. 2021, arXiv:2006.05987.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from headstart.core.strategy import Strategy
from headstart.engine.streams import counted

STEPS = 200
"""Least steps that a training which ends by patience may take, where nobody named its epochs."""


def lengthened(
    strategy: Strategy,
    rows: int,
    batch: int,
    given: Collection[str] = (),
    most: float = math.inf,
) -> Strategy:
    """The strategy with so many epochs that, over all rows, they are at least `STEPS` steps.

    Its patience grows as they do, to no more than a quarter of them.

    Args:
        given: settings that were named; they stay as they are.
        most: epochs that may be spent, where they are more than its own.
    """
    settings = strategy.settings
    patience = getattr(settings, "patience", 0)  # contrastive has none: its few passes are meant
    if not patience or {"epochs", "patience"} & set(given):
        return strategy
    whole = getattr(strategy, "whole", False)  # then the rest of a pass is no step
    passes = STEPS / max(1, counted(rows, batch, whole)[0])
    epochs = int(min(math.ceil(passes), most))
    if epochs <= settings.epochs:
        return strategy
    longer = max(patience, min(math.ceil(patience * epochs / settings.epochs), epochs // 4))
    return strategy.altered(epochs=epochs, patience=longer)
