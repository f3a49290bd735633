"""ONNX Runtime: the trunk is exported once, optimised and run without Python between the layers."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core import digest
from headstart.core.executor import Runner
from headstart.errors import ContractError

PROFILES = ("exact", "fast")
DEVICES = ("cpu",)
COST = (5.0, 0.6)
TOLERANCE = 1e-4
"""Largest difference from eager PyTorch, relative to the largest output."""


def version() -> str:
    """The runtime's release."""
    from importlib.metadata import version as release

    return release("onnxruntime")


def missing(device: str = "cpu") -> str:
    """Which library is not installed, or ""."""
    from importlib.util import find_spec

    absent = [n for n in ("onnxruntime", "onnx") if find_spec(n) is None]
    if absent:
        return f"{' and '.join(absent)} not installed: pip install 'headstart[onnx]'."
    return ""


def prepare(trunk: nn.Module, example: Mapping[str, Tensor], device: str, cache: Path) -> Runner:
    """A session over the exported trunk; one thread a call, so that calls may run side by side.

    Raises:
        ContractError: the trunk cannot be exported, or the export computes something else.
    """
    wrapped = _Positional(trunk, tuple(example))
    with torch.no_grad():
        wrapped(*example.values())  # learns the names of the outputs
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{_digest(trunk, example)}.onnx"
    problem = ""
    for legacy in (True, False):
        try:
            if not kept.exists():
                _export(wrapped, example, kept, legacy)
            run = _session(kept, wrapped.outputs)
            problem = _differs(trunk, run, example)
        except Exception as error:  # exporters raise of all kinds
            problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
        if not problem:
            return run
        kept.unlink(missing_ok=True)
    raise ContractError(f"ONNX Runtime cannot stand in for this network ({problem}).")


class _Positional(nn.Module):
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


def _export(wrapped: _Positional, example: Mapping[str, Tensor], kept: Path, legacy: bool) -> None:
    """Writes the graph under `kept`, whole or not at all. The tracing exporter takes a second or two
    and does for most networks; the other one ten times as long, and reads what tracing cannot."""
    draft = kept.with_suffix(f".{os.getpid()}.draft")
    axes = {n: _axes(n, t, example) for n, t in example.items()}
    inputs, outputs = [f"in_{n}" for n in example], [f"out_{n}" for n in wrapped.outputs]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        common: dict[str, Any] = {"input_names": inputs, "output_names": outputs, "verbose": False}
        if legacy:
            named = {f"in_{n}": a for n, a in axes.items()} | {o: {0: "n"} for o in outputs}
            args = tuple(example.values())
            torch.onnx.export(
                wrapped,
                args,
                str(draft),
                dynamo=False,
                dynamic_axes=named,
                opset_version=17,
                **common,
            )
        else:
            shapes = tuple(dict.fromkeys(axes[n], torch.export.Dim.DYNAMIC) for n in example)
            torch.onnx.export(
                wrapped,
                tuple(example.values()),
                str(draft),
                dynamo=True,
                dynamic_shapes=(shapes,),
                external_data=False,
                **common,
            )
    draft.replace(kept)


def _axes(name: str, tensor: Tensor, example: Mapping[str, Tensor]) -> dict[int, str]:
    """Which axes change: the batch, and axis 1 of what is as long as the mask."""
    mask = example.get("mask")
    ragged = mask is not None and tensor.ndim > 1 and tensor.shape[1] == mask.shape[1]
    return {0: "n", 1: "length"} if ragged else {0: "n"}


def _session(kept: Path, outputs: tuple[str, ...]) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(kept), options, providers=["CPUExecutionProvider"])
    names = [n.name for n in session.get_inputs()]  # inputs that the graph does not use are gone

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        feed = {n: inputs[n.removeprefix("in_")].contiguous().numpy() for n in names}
        found = session.run(None, feed)
        return {n: torch.from_numpy(a) for n, a in zip(outputs, found, strict=True)}

    return run


def _differs(trunk: nn.Module, run: Runner, example: Mapping[str, Tensor]) -> str:
    """Compares with eager PyTorch on the example, on three rows, and on shorter rows; "" if equal."""
    three = {n: torch.cat([t, t[:1]]) for n, t in example.items()}
    shorter = {
        n: t[:, : t.shape[1] - 1] if len(_axes(n, t, example)) > 1 and t.shape[1] > 2 else t
        for n, t in example.items()
    }
    for inputs in (example, three, shorter):
        with torch.inference_mode():
            wanted = trunk(dict(inputs))
        for name, got in run(inputs).items():
            want = wanted[name]
            if got.shape != want.shape or got.dtype != want.dtype:
                return f"'{name}' is {got.dtype} {got.shape}, expected {want.dtype} {want.shape}"
            gap = (got.double() - want.double()).abs().max().item() if got.numel() else 0.0
            scale = max(want.double().abs().max().item(), 1e-6) if got.numel() else 1.0
            if not gap <= TOLERANCE * scale:
                return f"'{name}' differs by {gap / scale:.1e} of its largest value"
    return ""


def _digest(trunk: nn.Module, example: Mapping[str, Tensor]) -> str:
    """Of weights, structure, code of the network's class, input shapes and versions."""
    backbone = getattr(trunk, "backbone", trunk)
    try:
        code = Path(inspect.getfile(type(backbone))).read_text("utf-8")
    except (OSError, TypeError):
        code = ""
    shapes = {n: (str(t.dtype), list(t.shape[1:])) for n, t in example.items()}
    ragged = {n: len(_axes(n, t, example)) for n, t in example.items()}
    return digest.value(
        {
            "weights": digest.tensors(trunk.state_dict().items()),
            "structure": repr(trunk),
            "cut": getattr(trunk, "cut", None),
            "code": code,
            "shapes": {n: s if ragged[n] == 1 else (s[0], s[1][1:]) for n, s in shapes.items()},
            "versions": [torch.__version__, version()],
        }
    )
