"""Labelled rows as the context of a prior-fitted network: shown, not trained.

Müller et al. 2022, arXiv:2112.10510; Hollmann et al. 2023, arXiv:2207.01848.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.core.network import Network
from headstart.strategies.linear_probe import Strategy as Base


@dataclass(frozen=True)
class Settings:
    """There is nothing to set."""


class Strategy(Base):
    """One solved phase over the source's own head."""

    def refuse(self, network: Network) -> str:
        if all(head.solves_itself for head in network.heads.values()):
            return ""
        return (
            "the source predicts nothing by itself from labelled rows; choose a prior-fitted source (of "
            "tables with at most ten classes: builtin:prior-fitted), or linear_probe"
        )
