"""`torchvision:NAME`: networks of torchvision.models with published weights, or with those of a file.

    torchvision:resnet18                              the weights that torchvision prefers
    torchvision:resnet50?weights=IMAGENET1K_V1        others that it publishes, by their tag
    torchvision:resnet18?weights=mine.safetensors     a file; `mine.json` beside it may say more

Other settings are `input_size`, `mean`, `std`, `interpolation`, `crop_pct`, `augment`, and arguments of the
network ("transform_input=true"). How many classes a file's classifier has is read from it.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision import models

from headstart.core import machine
from headstart.core.source import UNKNOWN, Loaded
from headstart.errors import DamagedError, OfflineError, SourceError, nearest
from headstart.providers import _inputs as inputs
from headstart.providers import file

READ = ("weights", "input_size", "mean", "std", "interpolation", "crop_pct", "augment")
_HASH = re.compile(r"-([0-9a-f]{8,})\.pth$")
_SLOW = ("googlenet", "inception_v3")
"""Warn unless they are told whether to draw their weights."""


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
) -> Loaded:
    """Loads a classification network of torchvision.

    Args:
        reference: its name ("resnet18").
        settings: see the module's text.
        offline: only what was fetched before may be read.

    Raises:
        SourceError: no such name or weights, weights that do not fit, pickles.
        DamagedError: the file is another one than its name or its document says.
        OfflineError: the weights are not here and the network is forbidden.
    """
    _known(reference)
    chosen = settings.get("weights", "DEFAULT")
    arguments = inputs.separate({k: v for k, v in settings.items() if k not in READ})[1]
    published = models.get_model_weights(reference)
    tags = {"DEFAULT": published.DEFAULT, **{w.name: w for w in published}}
    if chosen in tags:
        return _published(reference, tags[chosen], settings, arguments, offline=offline)
    path = Path(chosen).expanduser()
    if not path.exists():
        raise SourceError(
            f"'{chosen}' is neither a file nor weights of {reference}. {nearest(chosen, tags)} A file has "
            "to be .safetensors."
        )
    return _of_file(reference, path, published.DEFAULT, settings, arguments)


def blank(card: Mapping[str, Any], size: tuple[int, ...]) -> Callable[[int], nn.Module]:
    """seed -> the network that a document names, with fresh random weights, without the auxiliary classifiers
    that are no part of a staged network; see `_blanks`.

    Raises:
        SourceError: no such network, or arguments that it does not take.
    """
    name = card["architecture"]
    _known(name)
    arguments = {**card["arguments"], **({"aux_logits": False} if name in _SLOW else {})}
    draw = rebuilder(name, arguments)

    def known(seed: int) -> nn.Module:
        with _taken(name):
            return draw(seed)

    return known


def _known(name: str) -> None:
    """Raises SourceError for a name that the library does not know."""
    known = models.list_models(module=models)
    if name not in known:
        raise SourceError(
            f"torchvision has no classification network '{name}'. {nearest(name, known)}"
        )


def _card(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a document says of the network, see `blank`."""
    told = {"library": "torchvision", "architecture": name, "arguments": dict(arguments)}
    return {"card": told}


def _of_file(
    name: str, path: Path, like: Any, settings: Mapping[str, str], arguments: dict[str, Any]
) -> Loaded:
    """A network whose weights a person hands over; prepared as the library's own, unless told."""
    expected = (
        f"{path} is no weight file that can be read. Expected a .safetensors file with the tensors of "
        f"torchvision's {name}."
    )
    card, checked = inputs.handed(path, expected, ".safetensors")
    tensors = file.weights(path)
    arguments = {**card.get("arguments", {}), **_classes(name, tensors), **arguments}
    module = _create(name, arguments)
    file.fill(module, tensors, path.name)
    return inputs.document(
        f"torchvision:{name}",
        module,
        library="torchvision",
        family=type(module).__name__,
        facts={**card, "name": f"{name} {path.stem}"},
        preprocessing=inputs.prepared(preprocessing(like), card, settings),
        rebuild=rebuilder(name, arguments),
        config=_card(name, arguments),
        checked=checked,
    )


def _published(
    name: str,
    weights: Any,
    settings: Mapping[str, str],
    arguments: dict[str, Any],
    *,
    offline: bool,
) -> Loaded:
    """A network with weights that torchvision publishes."""
    arguments = {"num_classes": len(weights.meta["categories"]), **arguments}
    if name in _SLOW:
        arguments = {"aux_logits": True, "transform_input": True, **arguments}
    place = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    who = machine.forbidden(offline)
    if who and not place.is_file():
        raise OfflineError(
            f"The weights {weights.name} of 'torchvision:{name}' are not on this computer ({place.name}), "
            f"and {who} forbids the network. Fetch them once while online, name a file with "
            f"torchvision:{name}?weights=FILE.safetensors, or use a built-in source (headstart sources)."
        )
    found = _HASH.search(place.name)
    declared = found.group(1) if found else ""
    by = "the name that torchvision gave it"
    checked = inputs.intact(place, declared, by) if place.is_file() else ()
    module = _create(name, arguments)
    file.fill(module, _fetched(name, weights, place), place.name)
    facts = {
        "revision": weights.name,
        "trained_on": ", ".join(weights.meta.get("_metrics", {})) or UNKNOWN,
        "name": f"{name} {weights.name}",
        "licence": weights.meta.get("license") or UNKNOWN,
    }
    return inputs.document(
        f"torchvision:{name}",
        module,
        library="torchvision",
        family=type(module).__name__,
        facts=facts,
        preprocessing=inputs.prepared(preprocessing(weights), {}, settings),
        rebuild=rebuilder(name, arguments),
        config=_card(name, arguments),
        checked=checked or inputs.intact(place, declared, by),
    )


def _fetched(name: str, weights: Any, place: Path) -> Mapping[str, Any]:
    """Published tensors, fetched where they are not yet in `place`. Raises OfflineError, DamagedError."""
    try:  # tensors only: weights_only refuses whatever else a pickle may hold
        tensors: Mapping[str, Any] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except OSError as error:
        raise OfflineError(
            f"The weights of 'torchvision:{name}' could not be fetched ({type(error).__name__}). Check the "
            "network, or use a built-in source (headstart sources)."
        ) from error
    except Exception as error:  # the reader of damaged archives raises of all kinds
        raise DamagedError(
            f"{place.name} cannot be read as tensors ({type(error).__name__}). Remove {place} and "
            "fetch it anew."
        ) from error
    return tensors


def preprocessing(weights: Any) -> dict[str, Any]:
    """What published weights want, in the words of sealed preprocessing: the shorter side is resized to
    `resize_size`, the centre of `crop_size` is cut."""
    told = weights.transforms()
    crop, resize = int(told.crop_size[0]), int(told.resize_size[0])
    share = crop / resize
    while math.floor(crop / share) < resize:  # division rounds; a side too short shifts every pixel
        share = math.nextafter(share, 0.0)
    return {
        "input_size": [len(told.mean), crop, crop],
        "mean": list(told.mean),
        "std": list(told.std),
        "interpolation": told.interpolation.value,
        "crop_pct": share,
    }


def _classes(name: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """How many classes the file's classifier has: rows of the last matrix that the architecture has too."""
    with _quiet(), torch.device("meta"):
        shapes = models.get_model(name, weights=None, **_drawn(name)).state_dict()
    aux = {"aux_logits": any(k.startswith(("AuxLogits", "aux1")) for k in tensors)}
    made = aux if name in _SLOW else {}
    last = [k for k, t in shapes.items() if k.endswith("weight") and t.ndim > 1][-1]
    return {**made, "num_classes": len(tensors[last])} if last in tensors else made


def _drawn(name: str) -> dict[str, Any]:
    return {"init_weights": False} if name in _SLOW else {}


def _create(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The architecture, its weights to be filled. Raises SourceError."""
    with _taken(name), torch.random.fork_rng(devices=[]), _quiet():
        made: nn.Module = models.get_model(name, weights=None, **{**arguments, **_drawn(name)})
    return made.eval()


@contextlib.contextmanager
def _taken(name: str) -> Iterator[None]:
    """Errors of a constructor in plain words. Raises SourceError."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise SourceError(
            f"torchvision's {name} does not take these arguments: {error}."
        ) from error


def rebuilder(name: str, arguments: Mapping[str, Any]) -> Callable[[int], nn.Module]:
    """seed -> the same architecture with fresh random weights; the global generator is untouched."""
    more = {"init_weights": True} if name in _SLOW else {}

    def rebuild(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]), _quiet():
            torch.manual_seed(seed)
            return models.get_model(name, weights=None, **{**arguments, **more}).eval()

    return rebuild


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's advice on drawing weights."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
