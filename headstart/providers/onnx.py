"""`onnx:PATH`: the exported model of any framework, run by ONNX Runtime as a frozen source.

    onnx:model.onnx                                   `model.json` beside it says mean and std
    onnx:model.onnx?mean=0.5&std=0.5                  or the URI does
    onnx:model.onnx?output=/avgpool/output_0          features from inside the graph

Name, layout, size and type of the input are read from the graph. Other settings: `input`, `layout` (nchw,
nhwc), `input_size`, `interpolation`, `crop_pct`, `augment`. Of results with places or tokens the mean is
taken. The document may hold these and licence, revision, trained_on, data_licence, paper, parents, and
`sha256` of the file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from headstart.core.source import Loaded
from headstart.errors import DamagedError, SourceError
from headstart.providers import _frozen as frozen
from headstart.providers import _inputs as inputs
from headstart.providers._frozen import Frozen, Port

FROZEN = "it runs in ONNX Runtime, which gives no gradients, so it can only be used frozen"
_MOST = 2 << 30  # bytes that one message may have


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
) -> Loaded:
    """Loads an ONNX file; see the module's text.

    Raises:
        SourceError: no such file, no ONNX, other inputs than one of pictures, operators of its own.
        DamagedError: cut short, or another file than its document says.
        PlanError: a setting is wrong, or one is needed that the graph does not tell.
    """
    path = Path(reference).expanduser()
    if not path.exists():
        raise SourceError(f"There is no file {path}. Expected a model in the ONNX format (.onnx).")
    inputs.known(settings, frozen.SETTINGS)
    expected = f"{path} is a folder. Expected one .onnx file, or safetensors by file:PATH."
    card, checked = inputs.handed(path, expected)
    model = _model(path)
    weights = {i.name for i in model.graph.initializer}
    ports = [_port(i) for i in model.graph.input if i.name not in weights]
    door = frozen.door(ports, path.name, settings, card)
    prepared = frozen.prepared(door, path.name, settings, card)
    output = _output(model, path.name, str(settings.get("output", card.get("output", ""))))
    count = sum(math.prod(i.dims) for i in model.graph.initializer)
    operations = _operations(model, door, prepared["input_size"])
    data = model.SerializeToString(deterministic=True)
    told = hashlib.sha256(data + output.encode()).hexdigest()
    module = Frozen(
        Session(data, path.name, door.port.name, output),
        door,
        fingerprint=told,
        frozen=FROZEN,
        parameters=count,
    )
    module.operations = operations
    return inputs.document(
        f"onnx:{reference}",
        frozen.measured(module, path.name, prepared["input_size"]).eval(),
        library="onnx",
        family=str(model.producer_name or "onnx"),
        facts={"name": path.stem, **card},
        preprocessing=prepared,
        rebuild=None,
        checked=checked,
    )


class Session:
    """The graph at work; one thread a call, as calls may run side by side."""

    def __init__(self, data: bytes, name: str, given: str, output: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's errors share no public base
            text = " ".join(str(error).split())[:300]
            raise SourceError(
                f"ONNX Runtime {onnxruntime.__version__} cannot run {name}: {text}. Export it again with "
                "standard operators."
            ) from error
        self.given, self.output = given, output

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.session.run([self.output], {self.given: rows})[0])


def _model(path: Path) -> Any:
    """The whole model, weights in files beside it included. Raises DamagedError, SourceError."""
    try:
        model = onnx.load(str(path), load_external_data=False)
        if not model.graph.node:
            raise DecodeError("no graph in it")
        if any(i.data_location == onnx.TensorProto.EXTERNAL for i in model.graph.initializer):
            model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except DecodeError as error:
        raise DamagedError(
            f"{path.name} is no whole ONNX model ({error}). Export or copy it again."
        ) from error
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise DamagedError(
            f"{path.name} is no valid ONNX model ({text}). Export or copy it again, with its weight files."
        ) from error
    if model.ByteSize() >= _MOST:
        raise SourceError(
            f"{path.name} has {model.ByteSize() / 1e9:.1f} GB; models below 2.1 GB can be used."
        )
    return model


def _port(value: Any) -> Port:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value or None for d in kind.shape.dim)
    if not kind.elem_type:
        return Port(value.name, shape, "object")
    return Port(
        value.name, shape, str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))
    )


def _output(model: Any, name: str, asked: str) -> str:
    """The result that is taken; one inside the graph is led out."""
    names = [o.name for o in model.graph.output]
    inner = [o for n in model.graph.node for o in n.output if o]
    found = frozen.chosen(names, inner, name, asked)
    if found not in names:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(found))
    return found


def _operations(model: Any, door: frozen.Door, size: list[int]) -> float | None:
    """Of matrix products and convolutions for one row, multiplications and additions; None where shapes
    cannot be told."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    given = next(i for i in copied.graph.input if i.name == door.port.name)
    shape = size if door.layout == "nchw" else [*size[1:], size[0]]
    for axis, length in enumerate([door.batch or 1, *shape]):
        given.type.tensor_type.shape.dim[axis].dim_value = length
    try:
        told = onnx.shape_inference.infer_shapes(copied, data_prop=True).graph
    except Exception:  # shapes are a help, not a need
        return None
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in told.value_info}
    shapes |= {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in told.output}
    shapes |= {i.name: list(i.dims) for i in told.initializer}
    shapes[door.port.name] = [door.batch or 1, *shape]
    total = 0.0
    for node in told.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        made, left, right = (shapes.get(n) for n in (node.output[0], *node.input[:2]))
        if not made or not right or (node.op_type != "Conv" and not left):
            return None
        turned = any(a.name == "transA" and a.i for a in node.attribute)
        inner = (
            math.prod(right[1:]) if node.op_type == "Conv" else (left or [1])[0 if turned else -1]
        )
        total += 2.0 * math.prod(made) * inner
    return total / (door.batch or 1)
