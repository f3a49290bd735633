"""The network that is trained: a new one of some architecture, or a source's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from torch import nn

from headstart import job as jobs
from headstart.core import plugins
from headstart.core.dataset import Field
from headstart.core.network import Backbone
from headstart.core.plan import SourceChoice
from headstart.core.source import Loaded, Source
from headstart.errors import PlanError, nearest
from headstart.pretraining.ask import Ask
from headstart.providers import _blanks as blanks
from headstart.providers import _inputs as inputs

SEALED = ("input_size", "mean", "std", "interpolation", "crop_pct")
DRAWN = {"trained_on": "nothing: random weights drawn from a seed", "data_licence": "CC0-1.0"}


@dataclass(frozen=True)
class Origin:
    """Where the weights begin.

    Attributes:
        card: "architecture", "arguments" and preprocessing, as a document beside weights in a file has them;
            "library" and what it needs, where that is one of `providers._blanks`.
        parents: sources that it was made from: URI, name, sha256, licence.
    """

    loaded: Loaded
    card: Mapping[str, Any]
    parents: tuple[Mapping[str, Any], ...] = field(default=())


def begun(ask: Ask, modality: plugins.Modality, fields: Sequence[Field]) -> Origin:
    """The network that was asked for, for samples of such fields. Raises PlanError, SourceError."""
    if ask.source and ask.architecture:
        raise PlanError(
            "An architecture and a source to go on from were both given. Name one: a source brings its own."
        )
    if ask.source:
        return _continued(ask, modality)
    return _new(ask, modality, fields)


def _new(ask: Ask, modality: plugins.Modality, fields: Sequence[Field]) -> Origin:
    """Random weights, drawn from the seed."""
    own = getattr(modality.backbones, "default", None)
    usual = getattr(modality.backbones, "DEFAULT", None)
    card = dict((own(fields) if own is not None else usual) or {})
    if ask.architecture:
        name, _, query = ask.architecture.partition("?")
        card = {"architecture": name, **dict(parse_qsl(query))}
    if not card:
        raise PlanError(
            f"There is no default architecture for {modality.name} data. Name one with --architecture, or a "
            f"source to go on from with --from (headstart sources --modality {modality.name})."
        )
    build = getattr(modality.backbones, "build", None)
    built = build(card) if build is not None else None
    if built is not None:
        rebuild, preprocessing = built
        name = str(card["architecture"])
        loaded = inputs.document(
            f"new:{name}",
            rebuild(ask.seed),
            library="headstart",
            family=name.partition(",")[0],
            facts={"name": name, "revision": f"seed {ask.seed}", **DRAWN},
            preprocessing=preprocessing,
            rebuild=rebuild,
            config={**card, "seed": ask.seed},
        )
        return Origin(loaded, card)
    return _of_timm(ask, card, tuple(getattr(modality.backbones, "ARCHITECTURES", ())))


def _of_timm(ask: Ask, card: Mapping[str, Any], own: tuple[str, ...]) -> Origin:
    """An architecture of the timm library, with random weights; `own` are the modality's, to be offered."""
    import timm

    provider: Any = plugins.load("provider", "timm")
    name = str(card["architecture"])
    if not timm.is_model(name):
        offer = nearest(name, own or timm.list_models())
        raise PlanError(f"There is no architecture '{name}'. {offer}")
    given = {k: v for k, v in card.items() if k not in ("architecture", "arguments", *SEALED[:3])}
    changed, arguments = inputs.separate({k: v for k, v in given.items() if k != "num_classes"})
    if "input_size" in card and isinstance(card["input_size"], str):
        changed = {**changed, **inputs.separate({"input_size": card["input_size"]})[0]}
    arguments = {**card.get("arguments", {}), **arguments, "num_classes": 0}
    rebuild = provider.rebuilder(name, arguments)
    module = rebuild(ask.seed)
    known = {**module.pretrained_cfg}
    known.update({k: card[k] for k in SEALED if k in card and not isinstance(card[k], str)})
    loaded = inputs.document(
        f"new:{name}",
        module,
        library="timm",
        family=type(module).__name__,
        facts=DRAWN,
        preprocessing=inputs.sealed(known, changed),
        rebuild=rebuild,
    )
    return Origin(loaded, {"architecture": name, "arguments": arguments})


def _continued(ask: Ask, modality: plugins.Modality) -> Origin:
    """The weights of a source, and what is known of its architecture."""
    offline = jobs.offline(SourceChoice(uri=ask.source, offline=ask.offline))
    loaded: Loaded = jobs.load(ask.source, modality, offline=offline)
    card = loaded.config.get("card") or _card(ask.source, modality)
    return Origin(loaded, card, (parent(loaded.source),))


def parent(source: Source) -> dict[str, Any]:
    """A source as one of `Source.parents`."""
    told = ("uri", "name", "revision", "sha256", "licence", "trained_on", "data_licence", "parents")
    return {key: getattr(source, key) for key in told}


def _card(uri: str, modality: plugins.Modality) -> dict[str, Any]:
    """Architecture and arguments by the URI, or by the document beside the weights; {} where neither says."""
    uri, entry = jobs.choose_uri(uri, modality)
    scheme, _, rest = uri.partition(":")
    reference, _, query = rest.partition("?")
    arguments = inputs.separate(
        {k: v for k, v in parse_qsl(query) if k not in ("architecture", "num_classes")}
    )[1]
    if scheme == "timm":
        return {"architecture": reference.partition(".")[0], "arguments": arguments}
    place = str((entry or {}).get("location", ""))
    path = Path(reference).expanduser()
    if place.startswith("weights:"):
        path = Path(__file__).parents[1] / "weights" / f"{place.partition(':')[2]}.safetensors"
    beside = path.with_suffix(".json")
    if not beside.is_file():
        asked = dict(parse_qsl(query)).get("architecture", "")
        return {"architecture": asked, "arguments": arguments} if asked else {}
    known = json.loads(beside.read_text("utf-8"))
    found = {**known.get("arguments", {}), **arguments}
    return {"architecture": str(known.get("architecture", "")), "arguments": found}


def described(
    origin: Origin, modality: plugins.Modality, backbone: Backbone
) -> tuple[Any, dict[str, Any]]:
    """The module whose weights are written, and the document by which they can be read again.

    Raises:
        PlanError: nobody knows how this network is built anew.
    """
    own = getattr(modality.backbones, "described", None)
    told = own(backbone) if own is not None else None
    if told is not None:
        module, card = told
        return module, dict(card)
    card = dict(origin.card)
    module = origin.loaded.module
    sealed = {k: v for k, v in origin.loaded.source.preprocessing.items() if k in SEALED}
    if card.get("library") and _fits(module, card := _headless(card, module), sealed):
        return module, {**card, **sealed}
    if not card.get("architecture") or not hasattr(module, "pretrained_cfg"):
        raise PlanError(
            f"'{origin.loaded.source.uri}' cannot be written as a file that can be read again, so it cannot "
            "be trained on. Choose a network of timm, torchvision or keras that can be trained, a tower of "
            "open_clip, an encoder of transformers, or a file with its architecture in the document."
        )
    return module, {**card, "num_classes": int(module.num_classes), **sealed}


def _headless(card: Mapping[str, Any], module: Any) -> dict[str, Any]:
    """The card, with the classifier that staging has taken off."""
    told = {k: v for k, v in card.items() if k != "without"}
    return {**told, **({"without": module.without} if getattr(module, "without", "") else {})}


def _fits(module: nn.Module, card: Mapping[str, Any], sealed: Mapping[str, Any]) -> bool:
    """Whether the network that a document names takes the module's weights."""
    blank, _ = blanks.built(card, tuple(sealed["input_size"]))
    shapes = [{n: t.shape for n, t in m.state_dict().items()} for m in (blank, module)]
    return shapes[0] == shapes[1]
