"""Devices, precision and arithmetic. Lightning Fabric is imported when first asked for."""

from __future__ import annotations

import sys
import threading
import warnings
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch

from headstart.errors import PlanError

# Once a small training set is fitted, gradients and Adam's squares of them sink below the smallest normal
# number, on which arithmetic is many times slower; they count as zero.
torch.set_flush_denormal(True)

# While it launches, Fabric patches torch's classes, for all threads; trainings side by side take turns.
_LAUNCHING = threading.Lock()
PRECISIONS = ("32-true", "bf16-mixed")


def resolve(name: str = "auto") -> str:
    """ "auto" -> "cuda", "mps" or "cpu", whichever is there; another name is checked.

    Raises:
        PlanError: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.partition(":")[0]
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(kind, False):
        have = ", ".join(k for k, v in there.items() if v)
        raise PlanError(f"There is no device '{name}' here. Expected auto, or one of: {have}.")
    return name


def precision(name: str, device: str) -> str:
    """Checks a precision for a device: "32-true" or "bf16-mixed".

    Raises:
        PlanError: any other; float16 above all, which on a processor is thousands of times slower.
    """
    if name not in PRECISIONS:
        raise PlanError(
            f"The precision '{name}' is not used on '{device}'. Expected one of "
            f"{', '.join(PRECISIONS)}; float16 overflows, and is very slow on a processor."
        )
    return name


def fabric(device: str = "auto", precision_name: str = "32-true") -> Any:
    """A launched `lightning_fabric.Fabric` on one device."""
    kind, _, number = resolve(device).partition(":")
    devices: Any = [int(number)] if number else 1
    with warnings.catch_warnings(), _LAUNCHING:
        warnings.simplefilter("ignore")
        machine = _imported()(
            accelerator=kind, devices=devices, precision=precision(precision_name, kind)
        )
        machine.launch()
    return machine


def _imported() -> Any:
    """The class. To learn the version of torchmetrics, where that is installed, its import would import all
    of it, and with it torchvision and transformers, which takes seconds; an empty module in its place leads
    to the same answer, from the metadata."""
    name = "torchmetrics"
    empty = name not in sys.modules and find_spec(name) is not None
    if empty:
        sys.modules[name] = ModuleType(name)
    try:
        from lightning_fabric import Fabric
    finally:
        if empty:
            del sys.modules[name]
    return Fabric
