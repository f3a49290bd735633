"""Offsets alone: the biases of a network, shifts of its norms among them, and the head.

Ben Zaken et al. 2022, arXiv:2106.10199 (BitFit).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headstart.core.network import Network
from headstart.strategies._efficient import Efficient, Few

OFFSET = re.compile(r"bias(es)?(\.\d+)?$")
"""How the name of an offset ends: "bias", "in_proj_bias", "biases.0"."""


@dataclass(frozen=True)
class Settings(Few):
    """How far and how fast offsets and head learn."""


class Strategy(Efficient):
    """The solved head, then head and offsets together; matrices and statistics stay as they are."""

    settings: Settings

    def lacking(self, network: Network) -> str:
        if self.trained(network):
            return ""
        return (
            "no layer of this source above the cut has an offset that could be trained. Use lora or "
            "fine_tune, which train its matrices, or linear_probe"
        )

    def trained(self, network: Network) -> tuple[str, ...]:
        """Vectors that are called an offset, above the cut."""
        backbone, cut = network.backbone, self.cut(network)
        return tuple(
            f"backbone.{name}"
            for name, parameter in backbone.named_parameters()
            if OFFSET.search(name) and parameter.ndim == 1 and backbone.stage_of(name) >= cut
        )
