"""PyTorch as it is: always there, the reference for the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from headstart.core.executor import Runner

PROFILES = ("exact", "fast")
DEVICES = ("cpu", "cuda", "mps")
COST = (0.2, 1.0)
"""Seconds to prepare, and seconds per row relative to this executor."""


def version() -> str:
    """PyTorch's release, without the build."""
    return torch.__version__.split("+")[0]


def missing(device: str = "cpu") -> str:
    """Never missing."""
    return ""


def prepare(trunk: nn.Module, example: Mapping[str, Tensor], device: str, cache: Path) -> Runner:
    """A copy of the trunk on `device`; pictures run channels-last, which convolutions prefer.

    The copy keeps the caller's network where it is, and as it is in memory.
    """
    pictures = any(t.ndim == 4 and t.is_floating_point() for t in example.values())
    layout = torch.channels_last if pictures else torch.contiguous_format
    copied = copy.deepcopy(trunk).to(device)
    if pictures:
        copied = copied.to(memory_format=torch.channels_last)

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.inference_mode():
            placed = {n: place(t, device, layout) for n, t in inputs.items()}
            return {n: back(t) for n, t in copied(placed).items()}

    return run


def place(tensor: Tensor, device: str, layout: torch.memory_format) -> Tensor:
    """The tensor on `device`; four axes of numbers in `layout`."""
    if tensor.ndim == 4 and tensor.is_floating_point():
        return tensor.to(device, memory_format=layout, non_blocking=True)
    return tensor.to(device, non_blocking=True)


def back(tensor: Tensor) -> Tensor:
    """On the CPU, contiguous; floating-point numbers as float32."""
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return tensor.cpu().contiguous()
