"""What an export knows of the run that it writes, and what it tells of the folder it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from headstart.core.network import Network
from headstart.core.source import Loaded
from headstart.errors import PackError
from headstart.registry import files
from headstart.registry.packs import PackParts
from headstart.serving.predictor import Predictor

TOLERANCE = 1e-4
"""Largest difference of an output, per unit of the larger of 1 and the output."""
WEIGHTS, HEAD = "model.safetensors", "head.safetensors"


@dataclass(frozen=True)
class Given:
    """A run, opened to be exported.

    Attributes:
        loaded: the base, with the run's weights in its module.
        base: how the written folder names its base, where it needs one; "": as the source was opened.
    """

    predictor: Predictor
    loaded: Loaded
    base: str = ""

    @property
    def pack(self) -> PackParts:
        return self.predictor.pack

    @property
    def network(self) -> Network:
        return self.predictor.network

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.predictor.targets.classes)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the run's own network says, (N, outputs)."""
        with torch.inference_mode():
            said: Tensor = self.network(inputs)[self.pack.outcome]
        return said.clone()

    def linear(self) -> tuple[Tensor, Tensor]:
        """Weight (outputs, width) and bias (outputs,) of the head; a scale of the answers is in them."""
        head: Any = self.network.heads[self.pack.outcome]
        weight, bias = head.linear.weight.detach().clone(), head.linear.bias.detach().clone()
        scale, shift = getattr(head, "scale", None), getattr(head, "shift", None)
        if scale is None:
            return weight, bias
        return weight * scale, bias * scale + shift


@dataclass(frozen=True)
class Told:
    """What a form says of the folder it wrote.

    Attributes:
        title: what it is, as the heading of its README.
        how: how to load it, Markdown with code.
        gap: largest difference of an output from the run's own.
        checked: what was compared, as the end of a sentence ("on 4 ...").
    """

    title: str
    how: str
    gap: float
    checked: str


def tensors(path: Path, held: Mapping[str, Tensor]) -> None:
    """Writes a file of tensors. Raises StorageError."""
    plain = {n: t.detach().cpu().contiguous().clone() for n, t in held.items()}
    files.write(path, save(plain, {"format": "pt"}))


def gap(found: Tensor, expected: Tensor, library: str) -> float:
    """Largest difference per unit of the larger of 1 and the output. Raises PackError above `TOLERANCE`."""
    if found.shape != expected.shape:
        raise PackError(
            f"What {library} loads gives outputs of shape {tuple(found.shape)}, the run "
            f"{tuple(expected.shape)}; nothing was written. Use the pack itself."
        )
    worst = float(((found - expected).abs() / expected.abs().clamp(min=1.0)).max())
    if not worst <= TOLERANCE:
        raise PackError(
            f"What {library} loads gives other outputs than the run: by {worst:.2g}, where {TOLERANCE:g} is "
            "allowed, so its classifier does more than a linear layer on the features; nothing was written. "
            "Use the pack itself (headstart predict)."
        )
    return worst
