"""`keras:NAME`: networks of keras.applications and saved Keras models, as trainable networks of torch.

    keras:MobileNetV2                              with the ImageNet weights that Keras publishes
    keras:ResNet50?weights=mine.weights.h5         with weights of a file; `alpha=0.5`, `classes=5` ... are
                                                   arguments of the network
    keras:model.keras?mode=tf                      a saved model; `model.json` beside it may say more

`mode` says how pixels reach the network, in Keras' own words: `caffe` (blue, green, red, less the mean), `tf`
(-1 to 1), `torch` (ImageNet's mean and deviation), `raw` (0 to 255). Networks of keras.applications bring
theirs, and models that begin with a layer that scales pixels want them raw; others have to be told.
Further settings: `input_size`, `mean`, `std`, `interpolation`, `crop_pct`, `augment`.

Keras runs on torch here and is only asked for the weights: the graph is written down in torch's own layers
and compared with Keras' result on random pixels. A model with a layer that is not known here runs in Keras
as one frozen stage. No Lambda layer and no other code of a file is run (safe mode).
"""

from __future__ import annotations

import collections
import contextlib
import functools
import inspect
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from keras.src.backend.config import keras_home
from keras.src.utils import file_utils
from torch import nn

from headstart.core import machine
from headstart.core.source import Loaded
from headstart.errors import DamagedError, OfflineError, PlanError, SourceError, nearest
from headstart.providers import _inputs as inputs
from headstart.providers import _keras_graph as graphs
from headstart.providers import _keras_guard as guard
from headstart.providers import _keras_layers as layers

READ = ("weights", "mode", "input_size", "mean", "std", "interpolation", "crop_pct", "augment")
MODES = {
    "caffe": {"mean": [v / 255 for v in (123.68, 116.779, 103.939)], "std": [1 / 255] * 3},
    "tf": {"mean": [0.5] * 3, "std": [0.5] * 3},
    "torch": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    "raw": {"mean": [0.0] * 3, "std": [1 / 255] * 3},
}
SCALERS = ("Rescaling", "Normalization")


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
) -> Loaded:
    """Loads a network of keras.applications, or a saved `.keras` model; see the module's text.

    Raises:
        SourceError: no such network or file, a model with code in it, weights that do not fit.
        DamagedError: the file is cut short, or another one than its document says.
        OfflineError: published weights are not in Keras' cache and the network is forbidden.
        PlanError: a setting is wrong, or `mode` is needed.
    """
    _on_torch()
    if reference in applications():
        return _application(reference, settings, offline=offline)
    path = Path(reference).expanduser()
    if not path.exists():
        raise SourceError(
            f"'{reference}' is neither a network of keras.applications nor a file. "
            f"{nearest(reference, applications())}"
        )
    return _saved(reference, path, settings)


def _on_torch() -> None:
    """Raises SourceError where Keras runs on another library."""
    if keras.config.backend() != "torch":
        raise SourceError(
            f"Keras was imported before with the backend '{keras.config.backend()}'; headstart reads its "
            "networks on torch. Set KERAS_BACKEND=torch before Keras is imported, or start a new process."
        )


def blank(card: Mapping[str, Any], size: tuple[int, ...]) -> Callable[[int], nn.Module]:
    """seed -> the network that a document names, with fresh random weights; see `_blanks`.

    Args:
        card: `architecture` and `arguments` of a network of keras.applications, or `configuration`, that of a
            saved model; `mode`.

    Raises:
        SourceError: no such network, a configuration with code in it or one that Keras does not read.
        PlanError: an argument that the network does not take.
    """
    _on_torch()
    name, mode = card["architecture"], card.get("mode", "")
    if mode not in MODES:
        raise SourceError(
            f"The document's 'mode' came as {mode!r}; expected one of {', '.join(MODES)}."
        )
    if "configuration" in card:
        config = {k: v for k, v in card["configuration"].items() if k != "compile_config"}
        guard.no_code(config, "The document")
        make = functools.partial(_configured, json.dumps(config))
    elif name in applications():
        arguments = {k: _unlisted(v) for k, v in card["arguments"].items()}
        _taken(name, arguments)
        make = functools.partial(_build, name, arguments)
    else:
        raise SourceError(
            f"Keras has no network '{name}' in keras.applications. {nearest(name, applications())}"
        )
    draw = _drawn(make, mode == "caffe", size)

    def known(seed: int) -> nn.Module:
        try:
            return draw(seed)
        except layers.Unknown as why:
            raise SourceError(
                f"The network '{name}' cannot be written down in layers of torch: {why} is not known here. "
                "Expected a document that `headstart pretrain` has written."
            ) from why

    return known


def _unlisted(value: Any) -> Any:
    """Shapes are tuples, for which JSON has lists."""
    return tuple(value) if isinstance(value, list) else value


def _configured(config: str) -> Any:
    """A model by its configuration, with fresh weights. Raises SourceError."""
    try:
        with _on_processor():
            made = keras.saving.deserialize_keras_object(json.loads(config), safe_mode=True)
    except Exception as error:  # Keras raises of all kinds
        raise SourceError(
            f"Keras {keras.__version__} cannot build a model of the document's 'configuration': "
            f"{guard.short(error)}. Expected what model.to_json() writes."
        ) from error
    if not isinstance(made, keras.Model):
        raise SourceError(
            f"The document's 'configuration' makes a {type(made).__name__}; expected a model, as "
            "model.to_json() writes it."
        )
    return made


def applications() -> tuple[str, ...]:
    """Names of the networks in keras.applications."""
    return tuple(n for n in sorted(dir(keras.applications)) if n[0].isupper())


# --- where the weights are


def _application(name: str, settings: Mapping[str, str], *, offline: bool) -> Loaded:
    """A network of keras.applications with published weights, or those of a file."""
    arguments = _arguments(name, settings)
    path = Path(settings.get("weights", "")).expanduser()
    card: dict[str, Any] = {}
    every = arguments
    if "weights" not in settings or settings["weights"] == "imagenet":
        model, checked = _published(name, arguments, offline=offline)
        facts = {"trained_on": "ImageNet-1k", "revision": f"keras.applications {keras.__version__}"}
    else:
        card, checked = _weight_file(name, path)
        facts = card
        every = {**card.get("arguments", {}), **arguments}
        model = _build(name, every)
        _read(model, path)
    mode = settings.get("mode", str(card.get("mode", _own_mode(name))))
    return _loaded(
        f"keras:{name}",
        model,
        {"name": name, **facts},
        mode=mode,
        card=card,
        settings=settings,
        checked=checked,
        rebuild=lambda: _build(name, every),
        named={"architecture": name, "arguments": every},
    )


def _saved(reference: str, path: Path, settings: Mapping[str, str]) -> Loaded:
    """A `.keras` archive."""
    inputs.known(settings, READ)
    expected = (
        f"{path.name} is no Keras model that can be opened safely. Expected a file that ends in .keras "
        "(model.save('model.keras')), or the name of a network with its weights: "
        "keras:ResNet50?weights=FILE.weights.h5. Networks of torch come as safetensors (file:PATH)."
    )
    card, checked = inputs.handed(path, expected, ".keras")
    guard.harmless(path)
    with guard.refused(path), _on_processor():
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    mode = settings.get("mode", str(card.get("mode", "")))

    def rebuild() -> Any:
        with _on_processor():  # reading a configuration empties it
            return type(model).from_config(model.get_config())

    return _loaded(
        f"keras:{reference}",
        model,
        {"name": path.stem, **card},
        mode=mode or _guessed_mode(path, model, {**card, **settings}),
        card=card,
        settings=settings,
        checked=checked,
        rebuild=rebuild,
        named={"architecture": str(model.name), "configuration": json.loads(model.to_json())},
    )


def _arguments(name: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of the network's constructor. Raises PlanError for one that it does not take."""
    given = inputs.separate({k: v for k, v in settings.items() if k not in READ})[1]
    _taken(name, given, READ)
    if "input_size" in settings:
        side = inputs.separate({"input_size": settings["input_size"]})[0]["input_size"]
        given = {"input_shape": (side, side, 3), "include_top": False, **given}
    return given


def _taken(name: str, arguments: Mapping[str, Any], more: tuple[str, ...] = ()) -> None:
    """Raises PlanError for an argument that the network's constructor does not take; `more` are offered
    beside its own."""
    taken = inspect.signature(getattr(keras.applications, name)).parameters
    allowed = sorted(set(taken) - {"weights", "input_tensor", "name", "classifier_activation"})
    for key in arguments:
        if key not in allowed:
            raise PlanError(f"{name} does not take '{key}'. {nearest(key, [*allowed, *more])}")


def _build(name: str, arguments: Mapping[str, Any], weights: str | None = None) -> Any:
    with _on_processor(), _fresh_names():
        try:
            return getattr(keras.applications, name)(weights=weights, **arguments)
        except (TypeError, ValueError) as error:
            raise SourceError(f"Keras cannot build {name} with these settings: {error}") from error


def _published(
    name: str, arguments: Mapping[str, Any], *, offline: bool
) -> tuple[Any, tuple[str, ...]]:
    """The network with the ImageNet weights, from Keras' cache or fetched, and what was compared."""
    checked: list[str] = []
    original = file_utils.get_file

    def get(fname: str, origin: str, **given: Any) -> str:
        place = Path(keras_home()) / given.get("cache_subdir", "datasets") / fname
        declared = str(given.get("file_hash") or given.get("md5_hash") or "")
        if place.is_file():
            checked.extend(_as_published(place, declared))
            return str(place)
        who = machine.forbidden(offline)
        if who:
            raise OfflineError(
                f"The weights of 'keras:{name}' are not on this computer ({fname}), and {who} forbids the "
                f"network. Fetch them once while online, name a file with keras:{name}?weights=FILE, or "
                "use a built-in source (headstart sources)."
            )
        return str(original(fname, origin, **given))

    file_utils.get_file = get
    try:
        model = _build(name, arguments, weights="imagenet")
    except OfflineError:
        raise
    except OSError as error:
        raise OfflineError(
            f"The weights of 'keras:{name}' could not be fetched ({type(error).__name__}). Check the "
            "network, or use a built-in source (headstart sources)."
        ) from error
    except SourceError:
        raise
    except Exception as error:  # Keras wraps failed downloads in plain exceptions
        raise OfflineError(
            f"The weights of 'keras:{name}' could not be had ({error}). Check the network, or use a built-in "
            "source (headstart sources)."
        ) from error
    finally:
        file_utils.get_file = original
    return model, tuple(checked)


def _as_published(place: Path, declared: str) -> tuple[str, ...]:
    """Compares a cached file with the digest that Keras declares: SHA-256, or MD5 by its length."""
    if not declared:
        return ()
    if len(declared) == 64:
        return inputs.intact(place, declared, "Keras")
    if not file_utils.validate_file(str(place), declared, algorithm="md5"):
        raise DamagedError(
            f"{place} is not the file that Keras published (its MD5 differs). Remove it and fetch it anew."
        )
    return (f"{place.name}: MD5 as in Keras",)


def _weight_file(name: str, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`inputs.handed` of a file of weights alone."""
    if not path.exists():
        raise SourceError(f"There is no file {path}. Expected weights of {name}: FILE.weights.h5.")
    expected = (
        f"{path.name} holds no weights that Keras reads. Expected FILE.weights.h5, as "
        "model.save_weights writes it (for networks of torch .safetensors, see torchvision: and file:)."
    )
    return inputs.handed(path, expected, ".h5")


def _read(model: Any, path: Path) -> None:
    """Fills a model. Raises DamagedError, SourceError."""
    with guard.refused(path):
        model.load_weights(path)


@contextlib.contextmanager
def _on_processor() -> Iterator[None]:
    """Keras would put weights on an accelerator of its choice, and draw from torch's generator."""
    with keras.device("cpu"), torch.random.fork_rng(devices=[]):
        yield


@contextlib.contextmanager
def _fresh_names() -> Iterator[None]:
    """Keras numbers layers without a name through the whole process; here each network begins anew, so that
    the same one has the same names."""
    state = keras.src.backend.common.global_state
    before = state.get_global_attribute("object_name_uids")
    state.set_global_attribute("object_name_uids", collections.defaultdict(int))
    try:
        yield
    finally:
        state.set_global_attribute("object_name_uids", before)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Keras draws by the seed, of which it reads 32 bits; every generator is as it was afterwards."""
    state = keras.src.backend.common.global_state
    before = state.get_global_attribute("global_seed_generator")
    plain, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            keras.utils.set_random_seed(seed % 2**32)
            yield
    finally:
        state.set_global_attribute("global_seed_generator", before)
        random.setstate(plain)
        np.random.set_state(numbers)


# --- how pixels reach it


def _own_mode(name: str) -> str:
    """The mode of a network of keras.applications, read off what its `preprocess_input` does."""
    home = inspect.getmodule(getattr(keras.applications, name))
    module: Any = home
    probe = np.array([[[[10.0, 20.0, 40.0]]]], np.float32)
    found = np.asarray(module.preprocess_input(probe.copy()), np.float64).reshape(-1)
    for mode, told in MODES.items():
        pixels = (np.array([10.0, 20.0, 40.0]) / 255 - told["mean"]) / told["std"]
        if np.allclose(pixels[::-1] if mode == "caffe" else pixels, found, atol=1e-3):
            return mode
    raise SourceError(
        f"How {name} wants its pixels is not known here; say it with ?mode={', '.join(MODES)}."
    )


def _guessed_mode(path: Path, model: Any, told: Mapping[str, Any]) -> str:
    """Raw for models that scale pixels themselves, or that come with mean and deviation."""
    first = next((o for o in model.layers if type(o).__name__ != "InputLayer"), None)
    if type(first).__name__ in SCALERS or {"mean", "std"} <= set(told):
        return "raw"
    raise PlanError(
        f"{path.name} does not say how it wants its pixels. Say it: keras:{path.name}?mode=caffe, tf, "
        "torch or raw (0 to 255), as the model was trained, or give mean= and std=."
    )


def _sealed(
    model: Any, mode: str, card: Mapping[str, Any], settings: Mapping[str, str]
) -> dict[str, Any]:
    if mode not in MODES:
        raise PlanError(f"Unknown mode '{mode}'. {nearest(mode, MODES)}")
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3:
        raise SourceError(
            f"The model takes {shape}; expected one input of pictures, (rows, height, width, 3)."
        )
    side = [3, int(shape[1] or 224), int(shape[2] or 224)]
    usual = {"input_size": side, "interpolation": "bilinear", "crop_pct": 1.0, **MODES[mode]}
    return inputs.prepared(usual, card, settings)


# --- what it becomes


def _loaded(
    uri: str,
    model: Any,
    facts: Mapping[str, Any],
    *,
    mode: str,
    card: Mapping[str, Any],
    settings: Mapping[str, str],
    checked: tuple[str, ...],
    rebuild: Callable[[], Any],
    named: Mapping[str, Any],
) -> Loaded:
    """The source: the graph in torch, or the whole model where a layer is not known."""
    preprocessing = _sealed(model, mode, card, settings)
    flip = mode == "caffe"
    size = preprocessing["input_size"]
    try:
        with _on_processor():  # new layers of torch draw weights before they are filled
            module: Any = graphs.graph(model, flip)
            graphs.compare(model, module, size, flip)
    except layers.Unknown as why:
        module = graphs.Whole(model, str(why), flip)
        with torch.no_grad():
            module.width = int(module(torch.zeros(1, *size)).shape[1])
        return _told(uri, module, model, facts, preprocessing, None, checked, {})
    again = _drawn(rebuild, flip, tuple(size))
    told = {"card": {"library": "keras", "mode": mode, **named}}
    return _told(uri, module, model, facts, preprocessing, again, checked, told)


def _drawn(
    make: Callable[[], Any], flip: bool, size: tuple[int, ...]
) -> Callable[[int], nn.Module]:
    """seed -> the graph of a model that `make` gives, with fresh random weights."""

    def again(seed: int) -> nn.Module:
        with _seeded(seed):
            made = graphs.graph(make(), flip)
        with torch.no_grad():
            made.feature_width = int(graphs.features_of(made, torch.zeros(1, *size)).shape[1])
        return made

    return again


def _told(
    uri: str,
    module: nn.Module,
    model: Any,
    facts: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    rebuild: Callable[[int], nn.Module] | None,
    checked: tuple[str, ...],
    config: Mapping[str, Any],
) -> Loaded:
    return inputs.document(
        uri,
        module.eval(),
        library="keras",
        family=str(model.name),
        facts=facts,
        preprocessing=preprocessing,
        rebuild=rebuild,
        config=config,
        checked=checked,
    )
