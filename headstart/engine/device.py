"""Devices and precision, through Lightning Fabric, which is imported when first asked for."""

from __future__ import annotations

from typing import Any


def resolve(name: str = "auto") -> str:
    """ "auto" -> "cuda", "mps" or "cpu", whichever is there; another name is checked. Raises PlanError."""
    raise NotImplementedError


def precision(name: str, device: str) -> str:
    """Checks a precision for a device: "32-true" or "bf16-mixed". Raises PlanError (fp16 on a CPU)."""
    raise NotImplementedError


def fabric(device: str = "auto", precision_name: str = "32-true") -> Any:
    """A launched `lightning_fabric.Fabric` on one device."""
    raise NotImplementedError
