"""Head first, then all at one small rate (LP-FT): `fine_tune` with the settings of the paper.

Kumar et al. 2022, arXiv:2202.10054.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.strategies import fine_tune
from headstart.strategies._tuning import Tuning


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune; head and stages have one rate, a third of its, and the head is always solved first."""

    rate: float = 1e-4
    head_rate: float = 1.0
    depth_decay: float = 1.0


class Strategy(fine_tune.Strategy):
    """The two phases of `fine_tune`."""

    settings: Settings
