"""`savedmodel:FOLDER`: a TensorFlow SavedModel, as TensorFlow Hub has them, run as a frozen source.

    savedmodel:efficientnet_feature?mean=0&std=1       `efficientnet_feature.json` beside it may say it
    savedmodel:FOLDER?signature=serving_default&output=feature_vector

Name, layout, size and type of the input are read from the signature; without `signature` "serving_default" is
meant, else the only one. Other settings: `input`, `layout`, `input_size`, `interpolation`, `crop_pct`,
`augment`. A graph that reads or writes files or calls Python is refused. Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from headstart.core import digest
from headstart.core.source import Loaded
from headstart.errors import DamagedError, PlanError, SourceError, nearest
from headstart.providers import _frozen as frozen
from headstart.providers import _inputs as inputs
from headstart.providers._frozen import Frozen, Port

FROZEN = "it runs in TensorFlow, which gives no gradients here, so it can only be used frozen"
GRAPH = "saved_model.pb"
USUAL = "serving_default"
RUNS_CODE = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile"})
"""Operations that reach outside the graph; those that restore the weights are the loader's own."""


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
) -> Loaded:
    """Loads a SavedModel folder; see the module's text.

    Raises:
        SourceError: no such folder, a graph that reaches outside itself, other inputs than one of pictures.
        DamagedError: a file of it is cut short, or it is not what its document says.
        PlanError: a setting is wrong, or one is needed that the signature does not tell.
    """
    path = _folder(reference)
    inputs.known(settings, (*frozen.SETTINGS, "signature"))
    card = inputs.card(path)
    told = fingerprint(path)
    checked = _intact(path, told, str(card.get("sha256", "")))
    _harmless(path)
    call, ports, outputs = _signature(path, settings, card)
    door = frozen.door(ports, path.name, settings, card)
    prepared = frozen.prepared(door, path.name, settings, card)
    asked = str(settings.get("output", card.get("output", "")))
    output = frozen.chosen(sorted(outputs), (), path.name, asked)

    def run(rows: np.ndarray) -> np.ndarray:
        return np.asarray(call(**{door.port.name: tf.constant(rows)})[output].numpy())

    module = Frozen(
        run,
        door,
        fingerprint=hashlib.sha256(f"{told} {output}".encode()).hexdigest(),
        frozen=FROZEN,
        parameters=_count(path),
    )
    return inputs.document(
        f"savedmodel:{reference}",
        frozen.measured(module, path.name, prepared["input_size"]).eval(),
        library="savedmodel",
        family="SavedModel",
        facts={"name": path.name, **card},
        preprocessing=prepared,
        rebuild=None,
        checked=checked,
    )


def _folder(reference: str) -> Path:
    """The folder of a SavedModel. Raises SourceError."""
    path = Path(reference).expanduser()
    if not (path / GRAPH).is_file():
        if path.exists():
            inputs.no_pickle(path)
        raise SourceError(
            f"{path} is no SavedModel: there is no {GRAPH} in it. Expected a folder that TensorFlow wrote "
            "(tf.saved_model.save), or safetensors by file:PATH."
        )
    return path


def fingerprint(path: Path) -> str:
    """SHA-256 over names and digests of all files of the folder, in the order of their names."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "fingerprint.pb")
    lines = [f"{p.relative_to(path).as_posix()} {digest.file(p)}" for p in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _intact(path: Path, found: str, declared: str) -> tuple[str, ...]:
    if declared and found != declared:
        raise DamagedError(
            f"{path.name} is not the folder that {path.name}.json describes: its SHA-256 begins with "
            f"{found[:12]}, not with {declared[:12]}. Copy it again."
        )
    return (f"{path.name}: SHA-256 of all files as in {path.name}.json",) if declared else ()


def _harmless(path: Path) -> None:
    """Refuses graphs that reach outside themselves, before anything of them is built."""
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((path / GRAPH).read_bytes())
    except DecodeError as error:
        raise DamagedError(
            f"{path / GRAPH} is cut short ({error}). Copy the folder again."
        ) from error
    for meta in model.meta_graphs:
        nodes = [n.op for n in meta.graph_def.node]
        nodes += [n.op for f in meta.graph_def.library.function for n in f.node_def]
        found = sorted(RUNS_CODE & set(nodes))
        if found:
            raise SourceError(
                f"{path.name} holds the operation {found[0]}, which reaches outside the graph, so it is "
                "refused. Export it without, or to ONNX where you trust it (onnx:PATH)."
            )


def _signature(
    path: Path, settings: Mapping[str, str], card: Mapping[str, Any]
) -> tuple[Any, list[Port], list[str]]:
    """What is called, its inputs, and the names of its results."""
    try:
        with tf.device("/CPU:0"):
            model = tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises of all kinds
        text = " ".join(str(error).split())[:300]
        raise DamagedError(
            f"{path.name} could not be loaded by TensorFlow {tf.__version__}: {text}. Copy the folder "
            "again, or save it anew."
        ) from error
    names = sorted(n for n in model.signatures if not n.startswith("__"))
    asked = str(settings.get("signature", card.get("signature", "")))
    name = asked or (USUAL if USUAL in names else names[0] if len(names) == 1 else "")
    if name not in names:
        raise PlanError(
            f"{path.name} has no signature '{name}'. {nearest(name, names)} Name one: ?signature=NAME"
        )
    call = model.signatures[name]
    call.kept = model  # its weights go with the model
    given = call.structured_input_signature[1]
    ports = [_port(name, spec) for name, spec in sorted(given.items())]
    return call, ports, list(call.structured_outputs)


def _port(name: str, spec: Any) -> Port:
    shape = tuple(spec.shape.as_list()) if spec.shape.rank else ()
    number = spec.dtype.is_floating or spec.dtype.is_integer
    return Port(name, shape, spec.dtype.name if number else "object")


def _count(path: Path) -> int:
    """Numbers in the folder's checkpoint."""
    kept = path / "variables" / "variables"
    if not kept.with_name("variables.index").is_file():
        return 0
    named = tf.train.list_variables(str(kept))
    return sum(
        math.prod(shape)
        for name, shape in named
        if name.endswith("VARIABLE_VALUE") and not name.startswith("save_counter")
    )
