"""Eight-bit convolutions in ONNX Runtime: weights per channel, activations by ranges set beforehand.

Ranges are taken from pictures of smoothed noise that are the same everywhere, so that a row's features do not
depend on which rows were seen first, and a pack computes on another machine what it computed here. Networks
of attention gain little from eight bits and lose much, so they are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core import machine
from headstart.core.executor import Runner
from headstart.engine.executors import _alike, onnx
from headstart.errors import ContractError

PROFILES = ("fast",)
DEVICES = ("cpu",)
COST = (4.0, 0.2)
ALIKE = 0.9
"""Least cosine between what eager PyTorch gives for a row and what this gives."""
SEEN = 32
"""Pictures by which ranges are set."""
LOW, HIGH, SPREAD = -2.2, 2.6, 1.2
"""Of their values: those of photographs after the usual normalisations."""
INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")


def version() -> str:
    """The runtime's release."""
    return onnx.version()


def missing(device: str = "cpu") -> str:
    """Why eight bits would not be faster on this device, or ""."""
    if not set(INSTRUCTIONS) & machine.flags():
        return "This processor has no instructions for eight-bit products, so int8 would not be faster."
    return onnx.missing(device)


def prepare(trunk: nn.Module, example: Mapping[str, Tensor], device: str, cache: Path) -> Runner:
    """A session over the quantized graph; one thread a call.

    Raises:
        ContractError: inputs are not pictures alone, the network has no convolutions, or what it gives
            is far from what eager PyTorch gives.
    """
    if any(t.ndim != 4 or not t.is_floating_point() for t in example.values()):
        told = ", ".join(f"{n}: {t.dtype} {tuple(t.shape[1:])}" for n, t in example.items())
        raise ContractError(f"int8 serves networks that read pictures; this one reads {told}.")
    _, graph, outputs = onnx.exported(trunk, example, cache)
    kept = graph.with_suffix(".int8.onnx")
    try:
        if not kept.exists():
            _quantize(graph, kept, example)
        run = onnx.session(kept, outputs)
        problem = _alike.unlike(trunk, run, example, _turned)
    except ContractError:
        raise
    except Exception as error:  # the quantizer raises of all kinds
        problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    if problem:
        kept.unlink(missing_ok=True)
        raise ContractError(f"int8 cannot stand in for this network ({problem}).")
    return run


def noise(shape: Sequence[int], count: int, seed: int = 0) -> Tensor:
    """Pictures of noise at every scale, (count, *shape), from `LOW` to `HIGH`: the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    channels, *size = shape
    sides = [s for s in (2, 4, 8, 16, 32) if s < max(size)] + [max(size)]
    total = torch.zeros(count, *shape)
    for side in sides:
        drawn = torch.randn(count, channels, side, side, generator=generator)
        total += nn.functional.interpolate(drawn, tuple(size), mode="bilinear")
    spread = total.flatten(1).std(1).clamp(min=1e-6)[:, None, None, None]
    return (total / spread * SPREAD).clamp(LOW, HIGH)


def _quantize(graph: Path, kept: Path, example: Mapping[str, Tensor]) -> None:
    """Writes the eight-bit graph under `kept`, whole or not at all."""
    import onnx as graphs
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not any(n.op_type == "Conv" for n in graphs.load(str(graph)).graph.node):
        raise ContractError("int8 serves networks of convolutions; this one has none.")
    ready = kept.with_suffix(f".{os.getpid()}.ready")
    draft = kept.with_suffix(f".{os.getpid()}.draft")
    try:
        quant_pre_process(str(graph), str(ready), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(ready),
            str(draft),
            _Noise(example),
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
        )
        draft.replace(kept)
    finally:
        ready.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)


class _Noise:
    """What the quantizer reads ranges from, in batches of eight."""

    def __init__(self, example: Mapping[str, Tensor]) -> None:
        self.left = self.batches({n: noise(t.shape[1:], SEEN) for n, t in example.items()})

    def batches(self, pictures: Mapping[str, Tensor]) -> Iterator[dict[str, np.ndarray]]:
        for at in range(0, SEEN, 8):
            yield {f"in_{n}": t[at : at + 8].numpy() for n, t in pictures.items()}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def _turned(want: Tensor, got: Tensor) -> str:
    """Whether a row points elsewhere than eager PyTorch's, by less than `ALIKE`."""
    near = torch.cosine_similarity(got.flatten(1).double(), want.flatten(1).double(), dim=1)
    if bool((near >= ALIKE).all()):
        return ""
    return f"has a cosine of {near.min().item():.2f} with that of eager PyTorch"
