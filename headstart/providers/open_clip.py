"""`open_clip:NAME`: the picture tower of a contrastive picture-text model of the OpenCLIP library.

    open_clip:ViT-B-32?pretrained=laion2b_s34b_b79k     weights that the library knows, by their tag
    open_clip:ViT-B-32?pretrained=mine.safetensors      a file, of both towers or of this one

Without `pretrained` the first tag that the library lists is meant. Pixels are prepared as the weights want
it. Models whose pictures are squeezed into a square (`squash`) are refused unless `resize=shortest`
accepts that theirs are cropped here. Other settings: `mean`, `std`, `interpolation`, `crop_pct`,
`augment`. The text tower is not used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from huggingface_hub import constants as hub
from open_clip import factory, pretrained
from open_clip.model import _build_vision_tower
from torch import Tensor, nn

from headstart.core import machine
from headstart.core.source import UNKNOWN, Loaded
from headstart.errors import DamagedError, OfflineError, SourceError, nearest
from headstart.providers import _inputs as inputs
from headstart.providers import file

READ = ("pretrained", "resize", "mean", "std", "interpolation", "crop_pct", "augment")
TOWER = "visual."
QUICK = "quick_gelu"


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
) -> Loaded:
    """Loads a picture tower; see the module's text.

    Raises:
        SourceError: no such model, tag or file; a pickle; weights that do not fit.
        DamagedError: the file is cut short, or another one than its document says.
        OfflineError: the weights are not here and the network is forbidden.
        PlanError: an unknown setting.
    """
    _known(reference)
    inputs.known(settings, READ)
    tags = open_clip.list_pretrained_tags_by_model(reference)
    asked = settings.get("pretrained", tags[0] if tags else "")
    if asked in tags:
        return _published(reference, asked, settings, offline=offline)
    path = Path(asked).expanduser()
    if not asked or not path.exists():
        raise SourceError(
            f"'{asked}' is neither a file nor weights of {reference}. {nearest(asked, tags)} A file has to "
            "be .safetensors."
        )
    return _of_file(reference, path, settings)


def blank(card: Mapping[str, Any], size: tuple[int, ...]) -> Callable[[int], nn.Module]:
    """seed -> the picture tower that a document names, with fresh random weights; see `_blanks`.

    Raises:
        SourceError: no such model, or arguments other than `quick_gelu`.
    """
    name, arguments = card["architecture"], card["arguments"]
    _known(name)
    quick = arguments.get(QUICK, False)
    if set(arguments) - {QUICK} or not isinstance(quick, bool):
        raise SourceError(
            f"The document's 'arguments' of OpenCLIP's {name} came as {dict(arguments)}; expected "
            f'{{"{QUICK}": true}}, {{"{QUICK}": false}} or nothing.'
        )
    return rebuilder(name, quick)


def _known(name: str) -> None:
    """Raises SourceError for a name that the library does not know."""
    known = open_clip.list_models()
    if name not in known:
        raise SourceError(f"OpenCLIP has no model '{name}'. {nearest(name, known)}")


def _of_file(name: str, path: Path, settings: Mapping[str, str]) -> Loaded:
    expected = (
        f"{path} is no weight file that can be read. Expected a .safetensors file with the tensors of "
        f"OpenCLIP's {name}."
    )
    card, checked = inputs.handed(path, expected, ".safetensors")
    facts = {**card, "name": f"{name} {path.stem}"}
    return _loaded(name, file.weights(path), path.name, facts, settings, card, checked)


def _published(name: str, tag: str, settings: Mapping[str, str], *, offline: bool) -> Loaded:
    told = open_clip.get_pretrained_cfg(name, tag)
    who = machine.forbidden(offline)
    with _cache_only(bool(who)):
        try:
            place = Path(pretrained.download_pretrained(told))
        except Exception as error:  # the library and the hub raise of all kinds
            why = f"{who} forbids the network" if who else f"could not be fetched ({error})"
            raise OfflineError(
                f"The weights '{tag}' of 'open_clip:{name}' are not on this computer, and {why}. Fetch "
                f"them once while online, name a file with open_clip:{name}?pretrained=FILE.safetensors, "
                "or use a built-in source (headstart sources)."
            ) from error
    if place.suffix == ".safetensors":
        tensors = file.weights(place)
    else:
        try:  # tensors only: weights_only refuses whatever else a pickle may hold
            tensors = factory.load_state_dict(str(place), weights_only=True)
        except Exception as error:
            raise DamagedError(
                f"{place.name} cannot be read as tensors alone ({type(error).__name__}). Remove {place} "
                "and fetch it anew, or choose a tag that is published as safetensors."
            ) from error
    facts = {"revision": tag, "trained_on": UNKNOWN, "name": f"{name} {tag}"}
    return _loaded(name, tensors, place.name, facts, settings, told, ())


def _loaded(
    name: str,
    tensors: Mapping[str, Tensor],
    told: str,
    facts: Mapping[str, Any],
    settings: Mapping[str, str],
    card: Mapping[str, Any],
    checked: tuple[str, ...],
) -> Loaded:
    """The tower with the tensors that are its own."""
    quick = bool(card.get(QUICK))
    rebuild = rebuilder(name, quick)
    module = rebuild(0)
    own = {n.removeprefix(TOWER): t for n, t in tensors.items() if n.startswith(TOWER)}
    file.fill(module, own or tensors, told)
    return inputs.document(
        f"open_clip:{name}",
        module,
        library="open_clip",
        family=type(module).__name__,
        facts=facts,
        preprocessing=inputs.prepared(_usual(name, module, card, settings), {}, settings),
        rebuild=rebuild,
        config={
            "card": {"library": "open_clip", "architecture": name, "arguments": {QUICK: quick}}
        },
        checked=checked,
    )


def rebuilder(name: str, quick: bool) -> Callable[[int], nn.Module]:
    """seed -> the picture tower with fresh random weights; the global generator is untouched."""
    config = open_clip.get_model_config(name)

    def rebuild(seed: int) -> nn.Module:
        vision = {**config["vision_cfg"]}
        if "timm_model_pretrained" in vision:
            vision["timm_model_pretrained"] = False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made: nn.Module = _build_vision_tower(
                config["embed_dim"], vision, quick_gelu=quick or bool(config.get(QUICK))
            )
        return made.eval()

    return rebuild


def _usual(
    name: str, module: Any, told: Mapping[str, Any], settings: Mapping[str, str]
) -> dict[str, Any]:
    """Preprocessing as the weights want it. Raises SourceError where pictures are squeezed."""
    usual = open_clip.transform.PreprocessCfg()
    size = module.image_size
    high, wide = size if isinstance(size, (tuple, list)) else (size, size)
    way = str(settings.get("resize", told.get("resize_mode", usual.resize_mode)))
    if way != "shortest":
        raise SourceError(
            f"The weights of {name} want whole pictures ('{way}'), which would be cropped to a square "
            f"here. Accept that with open_clip:{name}?resize=shortest, or choose weights that were trained "
            "on crops."
        )
    return {
        "input_size": [3, int(high), int(wide)],
        "mean": list(told.get("mean", usual.mean)),
        "std": list(told.get("std", usual.std)),
        "interpolation": told.get("interpolation", usual.interpolation),
        "crop_pct": 1.0,
    }


@contextlib.contextmanager
def _cache_only(forbidden: bool) -> Iterator[None]:
    """Forbids every request of the hub while it holds, and of plain addresses altogether. The hub's library
    read its own switch when it was imported, so setting the environment now would come too late."""
    before, fetch = hub.HF_HUB_OFFLINE, pretrained.download_pretrained_from_url
    hub.HF_HUB_OFFLINE = before or forbidden
    if forbidden:
        pretrained.download_pretrained_from_url = _kept
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before
        pretrained.download_pretrained_from_url = fetch


def _kept(url: str, cache_dir: str | None = None) -> str:
    """What the library has fetched before from a plain address. Raises FileNotFoundError."""
    place = Path(cache_dir or "~/.cache/clip").expanduser() / url.rpartition("/")[2]
    if not place.is_file():
        raise FileNotFoundError(place.name)
    return str(place)
