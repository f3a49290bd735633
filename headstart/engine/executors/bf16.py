"""PyTorch under autocast to bfloat16: half the traffic, three digits.

float16 is never used on a CPU: it has no fast kernels there, and its range is too small.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from headstart.core import machine
from headstart.core.executor import Runner
from headstart.engine.executors.eager import back, place, version

__all__ = ["COST", "DEVICES", "PROFILES", "missing", "prepare", "version"]

PROFILES = ("fast",)
DEVICES = ("cpu", "cuda")
COST = (0.3, 0.6)


def missing(device: str = "cpu") -> str:
    """Why bfloat16 would not be faster on this device, or ""."""
    if device.startswith("cuda"):
        if torch.cuda.is_available() and torch.cuda.get_device_capability(device)[0] >= 8:
            return ""
        return "This accelerator computes bfloat16 no faster than float32 (compute capability under 8)."
    if {"avx512_bf16", "amx_bf16", "bf16"} & machine.flags():
        return ""
    return "This processor has no bfloat16 instructions, so bf16 would be slower than float32."


def prepare(trunk: nn.Module, example: Mapping[str, Tensor], device: str, cache: Path) -> Runner:
    """A copy of the trunk on `device`, run under autocast; outputs come back as float32."""
    pictures = any(t.ndim == 4 and t.is_floating_point() for t in example.values())
    layout = torch.channels_last if pictures else torch.contiguous_format
    copied = copy.deepcopy(trunk).to(device)
    if pictures:
        copied = copied.to(memory_format=torch.channels_last)
    kind = device.split(":")[0]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16):
            placed = {n: place(t, device, layout) for n, t in inputs.items()}
            outputs = copied(placed)
        return {n: back(t) for n, t in outputs.items()}

    return run
