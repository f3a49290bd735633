"""ONNX Runtime: the trunk is exported once, optimised and run without Python between the layers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.executor import Runner
from headstart.engine.executors._alike import Positional, axes_of, differs, of, traced
from headstart.errors import ContractError

PROFILES = ("exact", "fast")
DEVICES = ("cpu",)
COST = (2.0, 0.5)


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
    return exported(trunk, example, cache)[0]


def exported(
    trunk: nn.Module, example: Mapping[str, Tensor], cache: Path
) -> tuple[Runner, Path, tuple[str, ...]]:
    """`prepare`, the graph's file, and the names of its outputs.

    Raises:
        ContractError: the trunk cannot be exported, or the export computes something else.
    """
    wrapped = traced(trunk, example, "ONNX Runtime")
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{of(trunk, example, version())}.onnx"
    problem = ""
    for legacy in (True, False):
        try:
            if not kept.exists():
                _export(wrapped, example, kept, legacy)
            run = session(kept, wrapped.outputs)
            problem = differs(trunk, run, example)
        except Exception as error:  # exporters raise of all kinds
            problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
        if not problem:
            return run, kept, wrapped.outputs
        kept.unlink(missing_ok=True)
    raise ContractError(f"ONNX Runtime cannot stand in for this network ({problem}).")


def _export(wrapped: Positional, example: Mapping[str, Tensor], kept: Path, legacy: bool) -> None:
    """Writes the graph under `kept`, whole or not at all. The tracing exporter takes a second or two
    and does for most networks; the other one ten times as long, and reads what tracing cannot."""
    draft = kept.with_suffix(f".{os.getpid()}.draft")
    axes = {n: axes_of(n, t, example) for n, t in example.items()}
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


def session(kept: Path, outputs: tuple[str, ...]) -> Runner:
    """The graph in a file, ready to run."""
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
