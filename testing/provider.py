"""Suite for providers: what is unknown, forbidden, unsafe or altered is refused in plain words.

A thing is a provider's name. A provider that hands out known sources is tried on them; `EXAMPLES` says
how one of each is made without a network, `HANDED` how a file is named to those that take it as a setting.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch
from safetensors.torch import save_file

from headstart import adaptation, loading
from headstart.core import digest, plugins
from headstart.core.plan import Engine, EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.source import Loaded
from headstart.core.task import Task
from headstart.errors import MissingExtra, OfflineError, SourceError, UserError

from ._things import Breach, Check, expect, folder, listed

NOWHERE = "no-such-owner/no-such-model-7a3f"
PICTURES = "image"
SMALL = "shufflenet_v2_x0_5"
TOWER = "headstart-small"
WEIGHTS = (".safetensors", ".keras", ".h5", ".onnx", ".pb")

_FORMULA = (
    "a built-in source lies in an installed package; there is no file that a person hands over"
)
_ZOO = "a library's own names are loaded by the library; a person hands over no file"
_LOCAL = "it reads local files only and never needs the network"

KNOWN: dict[tuple[str, str], str] = {
    ("check_pickles_are_refused", "builtin"): _FORMULA,
    ("check_damaged_weights_are_refused", "builtin"): _FORMULA,
    ("check_pickles_are_refused", "timm"): _ZOO,
    ("check_damaged_weights_are_refused", "timm"): _ZOO,
    ("check_source_says_who_it_is", "timm"): "its weights come from the network only",
    ("check_rebuild_is_fresh", "timm"): "its weights come from the network only",
    ("check_offline_is_obeyed", "builtin"): _LOCAL,
    ("check_offline_is_obeyed", "file"): _LOCAL,
    ("check_offline_is_obeyed", "onnx"): _LOCAL,
    ("check_offline_is_obeyed", "run"): _LOCAL,
    **({("check_offline_is_obeyed", "savedmodel"): _LOCAL} if find_spec("tensorflow") else {}),
}


def things() -> tuple[str, ...]:
    """Every provider whose library is installed."""
    found = []
    for name in plugins.names("provider"):
        try:
            plugins.load("provider", name)
        except MissingExtra:
            continue
        found.append(name)
    return tuple(found)


def checks() -> Iterator[tuple[str, Check]]:
    """Name and function of every check of this suite."""
    return listed(globals())


@cache
def _bert() -> Path:
    """A tiny BERT as a model folder: config.json, tokenizer.json, model.safetensors, README.md."""
    loaded = plugins.Modality("text").tiny.loaded(0)
    place = folder() / "bert"
    place.mkdir()
    loaded.module.save_pretrained(place)  # type: ignore[operator]
    tokenizer = loaded.source.preprocessing["tokenizer_json"]
    (place / "tokenizer.json").write_text(tokenizer, "utf-8")
    (place / "README.md").write_text(
        "---\nlicense: mit\ndatasets:\n- tiny\n---\nA card.\n", "utf-8"
    )
    return place


@cache
def _picture_file() -> Path:
    """A small network of timm as one safetensors file with its card."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model("resnet10t", pretrained=False, num_classes=3)
    place = folder() / "picture.safetensors"
    save_file({n: t.contiguous() for n, t in module.state_dict().items()}, place)
    card = {"architecture": "resnet10t", "arguments": {"num_classes": 3}, "num_classes": 3}
    card |= {"licence": "MIT", "trained_on": "nothing", "paper": "none", "revision": "1"}
    place.with_suffix(".json").write_text(json.dumps(card), "utf-8")
    return place


def _builtin() -> tuple[str, Mapping[str, Any] | None]:
    entries = (e for n in plugins.names("modality") for e in plugins.Modality(n).catalogue())
    entry = next(e for e in entries if str(e["uri"]).startswith("builtin:"))
    return str(entry["uri"]).partition(":")[2], entry


@cache
def _torchvision_file() -> str:
    """A small network of torchvision as one safetensors file."""
    module = plugins.load("provider", "torchvision").rebuilder(SMALL, {"num_classes": 3})(0)
    place = folder() / "shuffled.safetensors"
    save_file({n: t.contiguous() for n, t in module.state_dict().items()}, place)
    return f"{SMALL}?weights={place}&input_size=32"


@cache
def _keras_file() -> str:
    """A small model as Keras saves it."""
    plugins.load("provider", "keras")  # sets the backend
    import keras

    with keras.device("cpu"), torch.random.fork_rng(devices=[]):
        keras.utils.set_random_seed(0)
        given = keras.Input((24, 24, 3))
        made = keras.layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(given)
        made = keras.layers.ReLU()(keras.layers.BatchNormalization()(made))
        side = keras.layers.Conv2D(6, 3, padding="same", activation="swish")(made)
        made = keras.layers.Add()([made, side])
        made = keras.layers.GlobalAveragePooling2D()(made)
        told = keras.layers.Dense(3, activation="softmax")(made)
        keras.Model(given, told, name="small").save(folder() / "small.keras")
    return f"{folder() / 'small.keras'}?mode=tf"


@cache
def _onnx_file() -> str:
    """A convolution and a mean over all places, written without any framework."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    kernel = np.random.default_rng(0).normal(0, 0.3, (6, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
    ]
    given = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, 24, 24])
    told = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", 6])
    held = [numpy_helper.from_array(kernel, "kernel")]
    graph = helper.make_graph(nodes, "small", [given], [told], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder() / "small.onnx")
    return f"{folder() / 'small.onnx'}?mean=0.5&std=0.25"


@cache
def _open_clip_file() -> str:
    """A small picture tower, under a name that the library learns here."""
    provider = plugins.load("provider", "open_clip")
    import open_clip

    vision = {"image_size": 24, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8}
    words = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}
    place = folder() / f"{TOWER}.json"
    place.write_text(
        json.dumps({"embed_dim": 12, "vision_cfg": vision, "text_cfg": words}), "utf-8"
    )
    open_clip.add_model_config(place)
    tensors = provider.rebuilder(TOWER, False)(0).state_dict()
    held = folder() / "tower.safetensors"
    save_file({f"visual.{n}": t.contiguous() for n, t in tensors.items()}, held)
    return f"{TOWER}?pretrained={held}"


@cache
def _saved_model() -> str:
    """A small SavedModel."""
    import tensorflow as tf

    kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 6), seed=(0, 0)))
    holder = tf.Module()
    holder.kernel = kernel

    def features(images: Any) -> dict[str, Any]:
        maps = tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "SAME"))
        return {"features": tf.reduce_mean(maps, (1, 2))}

    given = tf.TensorSpec((None, 24, 24, 3), tf.float32, "images")
    call = tf.function(features, input_signature=[given])
    place = folder() / "saved"
    tf.saved_model.save(holder, str(place), signatures={"serving_default": call})
    return f"{place}?mean=0&std=1"


@cache
def _run_folder() -> str:
    """A run that fine-tuned the pictures' built-in source for one pass."""
    data = plugins.Modality(PICTURES).tiny.write(folder() / "learned", "classify", 30, 0)
    plan = Plan(
        task=Task(data=str(data), modality=PICTURES),
        source=SourceChoice("builtin:formula"),
        strategy=StrategyChoice("fine_tune", {"epochs": 1, "augment": False, "cut": -1}),
        engine=Engine(store="memory"),
        evidence=EvidenceChoice(
            seeds=1, scratch=False, champion=False, learning_curve=False, checks=("accuracy",)
        ),
        output=str(folder() / "runs"),
    )
    return str(adaptation.adapt(plan))


EXAMPLES: Mapping[str, Callable[[], tuple[str, Mapping[str, Any] | None]]] = {
    "hf": lambda: (str(_bert()), None),
    "file": lambda: (str(_picture_file()), None),
    "builtin": _builtin,
    "torchvision": lambda: (_torchvision_file(), None),
    "keras": lambda: (_keras_file(), None),
    "onnx": lambda: (_onnx_file(), None),
    "open_clip": lambda: (_open_clip_file(), None),
    "savedmodel": lambda: (_saved_model(), None),
    "run": lambda: (_run_folder(), None),
}
HANDED: Mapping[str, str] = {
    "torchvision": f"{SMALL}?weights={{}}",
    "open_clip": "RN50?pretrained={}",
}
"""How a file is named to a provider that takes it as a setting."""
REAL = {"torchvision": "resnet18", "keras": "MobileNet", "open_clip": "RN50"}
"""Published weights that would have to be fetched."""


def opened(
    name: str, reference: str, *, offline: bool = True, entry: Mapping[str, Any] | None = None
) -> Loaded:
    """A source by what stands behind its scheme, with what its provider needs."""
    provider = plugins.load("provider", name)
    plain, _, query = reference.partition("?")
    needs = loading.supplied(provider, plugins.Modality(PICTURES), offline=offline)
    made: Loaded = provider.open(
        plain, dict(parse_qsl(query)), offline=offline, entry=entry, **needs
    )
    return made


@cache
def example(name: str) -> Loaded | None:
    """A source of the provider, or None where none can be had without a network."""
    if name not in EXAMPLES:
        return None
    reference, entry = EXAMPLES[name]()
    return opened(name, reference, entry=entry)


def _refused(name: str, reference: str, *, offline: bool = True) -> UserError:
    """The error with which the provider refuses a reference."""
    try:
        opened(name, reference, offline=offline)
    except UserError as error:
        return error
    raise Breach(f"'{name}:{reference}' is refused")


@contextmanager
def _forbidden() -> Iterator[None]:
    """HEADSTART_OFFLINE=1 for a while."""
    before = os.environ.get("HEADSTART_OFFLINE")
    os.environ["HEADSTART_OFFLINE"] = "1"
    try:
        yield
    finally:
        os.environ.pop("HEADSTART_OFFLINE")
        if before is not None:
            os.environ["HEADSTART_OFFLINE"] = before


def _plain(error: Exception) -> None:
    words = str(error)
    expect(len(words.split()) >= 8, f"the message says what to do: '{words}'")
    expect("Traceback" not in words, "the message is no trace")
    expect(words.rstrip().endswith((".", "?")), f"the message is made of sentences: '{words}'")


def check_unknown_names_are_refused(name: str) -> None:
    """An unknown name is a SourceError in plain words that repeats the name."""
    error = _refused(name, NOWHERE)
    expect(isinstance(error, SourceError), f"an unknown name is a SourceError, not {type(error)}")
    expect("no-such-model-7a3f" in str(error), "the error repeats the name")
    _plain(error)


def check_missing_folders_are_refused(name: str) -> None:
    """A path that does not exist is a SourceError, without a look at the network."""
    error = _refused(name, "/no/such/folder/7a3f")
    expect(isinstance(error, SourceError), "a missing path is a SourceError")
    _plain(error)


def check_offline_is_obeyed(name: str) -> None:
    """Offline, by the plan or the environment, a name that is not here is an OfflineError."""
    reference = _real_name(name)
    error = _refused(name, reference, offline=True)
    expect(isinstance(error, OfflineError), f"offline it is an OfflineError, not {type(error)}")
    _plain(error)
    with _forbidden():
        error = _refused(name, reference, offline=False)
    expect(isinstance(error, OfflineError), "HEADSTART_OFFLINE=1 forbids the network")
    expect("HEADSTART_OFFLINE forbids" in str(error), "the error says who forbids it")


def _real_name(name: str) -> str:
    """A name that the provider would have to fetch."""
    if name in REAL:
        return REAL[name]
    if name != "timm":
        return NOWHERE
    import timm

    return str(timm.list_models("vit_tiny*", pretrained=True)[0])


def check_source_says_who_it_is(name: str) -> None:
    """The document is complete; its digest is that of the tensors; the module is in eval mode."""
    loaded = example(name)
    expect(loaded is not None, "the suite has an example of every provider (EXAMPLES)")
    assert loaded is not None
    source = loaded.source
    for key in ("uri", "name", "family", "revision", "licence", "trained_on", "paper"):
        expect(bool(getattr(source, key)), f"the source says its {key}, or that it is unknown")
    if source.sha256 != "formula":
        tensors = list(loaded.module.state_dict().items())
        expect(source.sha256 == digest.tensors(tensors), "sha256 is the digest of the tensors")
        count = sum(p.numel() for p in loaded.module.parameters())
        count += int(getattr(loaded.module, "frozen_parameters", 0))  # in another runtime
        expect(source.parameters == count, "the parameters are counted")
    expect(bool(re.match(r"^\w+:", source.uri)), "the URI has a scheme")
    expect(not loaded.module.training, "the module is in eval mode")
    expect(bool(json.dumps(dict(source.preprocessing))), "the preprocessing is plain JSON")
    expect({"library", "architecture"} <= set(loaded.config), "library and architecture are said")


def check_opening_twice_gives_the_same(name: str) -> None:
    """Two openings give the same weights and leave the random state alone."""
    if name not in EXAMPLES:
        return
    reference, entry = EXAMPLES[name]()
    state = torch.get_rng_state()
    made = [opened(name, reference, entry=entry) for _ in range(2)]
    first, second = (digest.tensors(m.module.state_dict().items()) for m in made)
    expect(first == second, "opening twice gives the same weights")
    expect(bool(torch.equal(state, torch.get_rng_state())), "opening leaves the random state alone")


def check_rebuild_is_fresh(name: str) -> None:
    """rebuild(seed) follows its seed and shares no tensor with the source."""
    loaded = example(name)
    expect(loaded is not None, "the suite has an example of every provider (EXAMPLES)")
    if loaded is None or loaded.rebuild is None:
        return
    first, second, third = (
        digest.tensors(loaded.rebuild(s).state_dict().items()) for s in (1, 1, 2)
    )
    expect(first == second != third, "the seed decides the twin's weights")
    expect(first != loaded.source.sha256, "the twin's weights are not the source's")


def check_pickles_are_refused(name: str) -> None:
    """A pickle is refused before it is opened: no code of it runs."""
    trap = folder() / f"sprung-{name}"
    place = folder() / f"pickle-{name}"
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text((_bert() / "config.json").read_text("utf-8"), "utf-8")
    body = pickle.dumps(_Trap(str(trap)))
    for file in ("pytorch_model.bin", "weights.pt"):
        (place / file).write_bytes(body)
    for reference in (place, place / "weights.pt"):
        error = _refused(name, HANDED.get(name, "{}").format(reference))
        expect(isinstance(error, SourceError), "a pickle is a SourceError")
        _plain(error)
        if reference == place:
            expect("safetensors" in str(error), "the error names the safe way")
    expect(not trap.exists(), "no code of the pickle ran")


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return (open, (self.path, "w"))


def check_damaged_weights_are_refused(name: str) -> None:
    """A file cut short is a SourceError in plain words."""
    reference, _ = EXAMPLES[name]()
    whole = _file_of(reference)
    place = folder() / f"damaged-{name}"
    place.mkdir(exist_ok=True)
    copied = place / whole.name
    if whole.is_dir():
        shutil.copytree(whole, copied, dirs_exist_ok=True)
    else:
        shutil.copy(whole, copied)
        beside = whole.with_suffix(".json")
        if beside.is_file():
            shutil.copy(beside, place / beside.name)
    for file in [copied, *copied.rglob("*")]:
        if file.suffix in WEIGHTS and file.is_file():
            data = file.read_bytes()
            file.write_bytes(data[: len(data) * 2 // 3])
    error = _refused(name, reference.replace(str(whole), str(copied)))
    expect(isinstance(error, SourceError), "damaged weights are a SourceError")
    _plain(error)


def _file_of(reference: str) -> Path:
    """The file or folder that a reference names, itself or in a setting."""
    plain, _, query = reference.partition("?")
    named = [plain, *(value for _, value in parse_qsl(query))]
    return next(Path(text) for text in named if Path(text).exists())
