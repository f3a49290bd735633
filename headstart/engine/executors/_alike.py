"""What exported networks share: their inputs by place, their key in the cache, the comparison with eager."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from headstart.core import digest
from headstart.core.executor import Runner
from headstart.errors import ContractError

TOLERANCE = 1e-4
"""Largest difference from eager PyTorch, relative to the largest output."""
Judge = Callable[[Tensor, Tensor], str]
"""What eager PyTorch gives and what another executor gives -> how they differ, or ""."""


def traced(trunk: nn.Module, example: Mapping[str, Tensor], runtime: str) -> Positional:
    """The trunk as exporters want it, run once, so that it knows the names of its outputs.

    Raises:
        ContractError: its states or inputs are of a kind that no export serves.
    """
    backbone = getattr(trunk, "backbone", None)
    if getattr(backbone, "masks", None):
        raise ContractError(f"{runtime} serves states with one ragged axis; these have several.")
    if getattr(backbone, "frozen", ""):
        raise ContractError(f"{runtime} serves networks of torch; this one runs elsewhere.")
    if getattr(backbone, "apart", "") in example:
        raise ContractError(f"{runtime} serves rows that are run whole; these are run in windows.")
    wrapped = Positional(trunk, tuple(example))
    with torch.no_grad():
        wrapped(*example.values())
    return wrapped


class Positional(nn.Module):
    """The trunk with positional tensors in and a tuple out, as exporters want it."""

    def __init__(self, trunk: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.trunk = trunk
        self.names = names
        self.outputs: tuple[str, ...] = ()
        self.training = False

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        state = self.trunk(dict(zip(self.names, tensors, strict=True)))
        self.outputs = tuple(state)
        return tuple(state.values())


def axes_of(name: str, tensor: Tensor, example: Mapping[str, Tensor]) -> dict[int, str]:
    """Which axes change: the batch, and axis 1 of what is as long as the mask."""
    mask = example.get("mask")
    ragged = mask is not None and tensor.ndim > 1 and tensor.shape[1] == mask.shape[1]
    return {0: "n", 1: "length"} if ragged else {0: "n"}


def differs(trunk: nn.Module, run: Runner, example: Mapping[str, Tensor]) -> str:
    """Compares with eager PyTorch on the example, on three rows, and on shorter rows; "" if equal."""
    three = {n: torch.cat([t, t[:1]]) for n, t in example.items()}
    shorter = {
        n: t[:, : t.shape[1] - 1] if len(axes_of(n, t, example)) > 1 and t.shape[1] > 2 else t
        for n, t in example.items()
    }
    every = (unlike(trunk, run, inputs, _apart) for inputs in (example, three, shorter))
    return next((problem for problem in every if problem), "")


def unlike(trunk: nn.Module, run: Runner, inputs: Mapping[str, Tensor], judge: Judge) -> str:
    """Which output differs from eager PyTorch's in type, shape or by the judge, and how; "" if none does."""
    with torch.inference_mode():
        wanted = trunk(dict(inputs))
    for name, got in run(inputs).items():
        want = wanted[name]
        if got.shape != want.shape or got.dtype != want.dtype:
            return f"'{name}' is {got.dtype} {got.shape}, expected {want.dtype} {want.shape}"
        if problem := judge(want, got):
            return f"'{name}' {problem}"
    return ""


def _apart(want: Tensor, got: Tensor) -> str:
    """By how much they differ, where that is more than `TOLERANCE`."""
    if not got.numel():
        return ""
    gap = (got.double() - want.double()).abs().max().item()
    scale = max(want.double().abs().max().item(), 1e-6)
    return "" if gap <= TOLERANCE * scale else f"differs by {gap / scale:.1e} of its largest value"


def of(trunk: nn.Module, example: Mapping[str, Tensor], runtime: str) -> str:
    """Of weights, structure, code of the network's class, input shapes and versions."""
    backbone = getattr(trunk, "backbone", trunk)
    try:
        code = Path(inspect.getfile(type(backbone))).read_text("utf-8")
    except (OSError, TypeError):
        code = ""
    shapes = {n: (str(t.dtype), list(t.shape[1:])) for n, t in example.items()}
    ragged = {n: len(axes_of(n, t, example)) for n, t in example.items()}
    return digest.value(
        {
            "weights": digest.tensors(trunk.state_dict().items()),
            "structure": repr(trunk),
            "cut": getattr(trunk, "cut", None),
            "code": code,
            "shapes": {n: s if ragged[n] == 1 else (s[0], s[1][1:]) for n, s in shapes.items()},
            "versions": [torch.__version__, runtime],
        }
    )
