"""ONNX Runtime: the trunk is exported once, optimised and run without Python between the layers."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core import digest
from headstart.core.executor import Runner
from headstart.errors import ContractError

PROFILES = ("exact", "fast")
DEVICES = ("cpu",)
COST = (2.0, 0.5)
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
    if getattr(getattr(trunk, "backbone", None), "masks", None):
        raise ContractError("ONNX Runtime serves states with one ragged axis; these have several.")
    if getattr(getattr(trunk, "backbone", None), "frozen", ""):
        raise ContractError("ONNX Runtime serves networks of torch; this one runs elsewhere.")
    if getattr(getattr(trunk, "backbone", None), "apart", "") in example:
        raise ContractError(
            "ONNX Runtime serves rows that are run whole; these are run in windows."
        )
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
    if legacy and all(len(a) == 1 for a in axes.values()):
        _fold(draft, example)
    draft.replace(kept)


def _fold(draft: Path, example: Mapping[str, Tensor]) -> None:
    """Makes sizes that do not depend on the batch constant, in place.

    Tracing spells out how paddings and sizes follow from the input's shape, which keeps ONNX Runtime
    from merging them into convolutions. A whole-number tensor that comes from shapes alone and is the
    same for two batch sizes is taken as what it is.
    """
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    model = onnx.load(str(draft))
    wanted = _of_shapes(model)
    if not wanted:
        return
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(o) for o in wanted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {f"in_{n}": t.contiguous().numpy() for n, t in example.items()}
    feed = {n.name: feed[n.name] for n in session.get_inputs()}
    two = session.run(wanted, feed)
    three = session.run(wanted, {n: a[[0, *range(len(a))]] for n, a in feed.items()})
    fixed = {n: a for n, a, b in zip(wanted, two, three, strict=True) if np.array_equal(a, b)}
    for node in [n for n in model.graph.node if set(n.output) & set(fixed)]:
        model.graph.node.remove(node)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in fixed.items())
    _merge_padding(model, fixed)
    _drop_unused(model.graph)
    onnx.save(model, str(draft))


def _merge_padding(model: Any, fixed: Mapping[str, np.ndarray]) -> None:
    """Zero padding before a convolution becomes the convolution's own, so that both are one kernel."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for pad in [n for n in model.graph.node if n.op_type == "Pad"]:
        sizes = fixed.get(pad.input[1])
        after = readers.get(pad.output[0], [])
        mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
        plain = mode == b"constant" and _is_zero(model, pad)
        if sizes is None or not plain or [n.op_type for n in after] != ["Conv"]:
            continue
        axes = len(sizes) // 2
        if any(sizes[[0, 1, axes, axes + 1]]) or min(sizes) < 0:
            continue
        conv = after[0]
        own = next((a for a in conv.attribute if a.name == "pads"), None)
        old = list(own.ints) if own is not None else [0] * (2 * axes - 4)
        extra = [*sizes[2:axes], *sizes[axes + 2 :]]
        if own is None:
            own = conv.attribute.add(name="pads", type=7)
        del own.ints[:]
        own.ints.extend(int(a + b) for a, b in zip(old, extra, strict=True))
        conv.input[0] = pad.input[0]
        model.graph.node.remove(pad)


def _drop_unused(graph: Any) -> None:
    """Removes nodes and constants whose results nobody reads."""
    read, kept = {o.name for o in graph.output}, []
    for node in reversed(graph.node):
        if set(node.output) & read:
            kept.append(node)
            read.update(node.input)
    held = [i for i in graph.initializer if i.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(held)


def _is_zero(model: Any, pad: Any) -> bool:
    """Whether a Pad node fills with zero."""
    from onnx import numpy_helper

    if len(pad.input) < 3 or not pad.input[2]:
        return True
    for node in model.graph.node:
        if node.op_type == "Constant" and pad.input[2] in node.output:
            return not numpy_helper.to_array(node.attribute[0].t).any()
    held = (i for i in model.graph.initializer if i.name == pad.input[2])
    return any(not numpy_helper.to_array(i).any() for i in held)


def _of_shapes(model: Any) -> list[str]:
    """Tensors that follow from shapes and constants alone and feed something that does not."""
    known = {i.name for i in model.graph.initializer}
    derived: set[str] = set()
    for node in model.graph.node:
        inputs = [i for i in node.input if i]
        if node.op_type == "Constant":
            known.update(node.output)
        elif node.op_type == "Shape" or (
            inputs and set(inputs) <= known | derived and set(inputs) & derived
        ):
            derived.update(node.output)
    used = [i for n in model.graph.node if not set(n.output) & derived for i in n.input]
    return [name for name in dict.fromkeys(used) if name in derived]


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
