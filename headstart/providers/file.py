"""`file:PATH`: weights in a safetensors file beside a JSON document, or a folder of a library.

    file:weights/mobilenet.safetensors?architecture=mobilenetv2_100&pad_type=same&input_size=160
    file:my-model/            config.json + model.safetensors, as timm or transformers save them; of
                              transformers the file itself may be named as well

The architecture is one of timm's, or one that the modality builds itself from what the document says, or one
of the `library` that the document names (torchvision, keras, open_clip; see `_blanks`).

The JSON document beside `x.safetensors` is `x.json`; it may hold `architecture`, `arguments`,
`num_classes`, `input_size`, `mean`, `std` (or `input_mean`, `input_std`), `interpolation`, `crop_pct`,
`licence`, `trained_on`, `data_licence`, `parents`, `paper`, `revision`, and `sha256` of the file, which is
then checked. Settings in the URI win.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.core.source import UNKNOWN, Loaded
from headstart.errors import DamagedError, SourceError, nearest
from headstart.providers import _blanks as blanks
from headstart.providers import _inputs as inputs

NEEDS = ("build",)
Rebuild = Callable[[int], nn.Module]
Build = Callable[[Mapping[str, Any]], tuple[Rebuild, Mapping[str, Any]] | None]


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
    build: Build | None = None,
) -> Loaded:
    """Loads a safetensors file or a model folder; see the module's text.

    Args:
        build: the modality's own `build`, where it has one.

    Raises:
        SourceError: missing, no safetensors, unknown library or architecture, weights that do not fit.
        MissingExtra: the document names a library that is not installed.
    """
    path = Path(reference).expanduser()
    if not path.exists():
        raise SourceError(
            f"There is no file {path}. Expected a .safetensors file or a model folder."
        )
    if path.is_dir():
        return _folder(path, settings, offline=offline)
    inputs.no_pickle(path)
    if _of_transformers(path):
        return _folder(path.parent, settings, offline=offline)
    card = inputs.card(path)
    declared = entry or card
    by = "the catalogue" if entry else path.with_suffix(".json").name
    checked = inputs.intact(path, str(declared.get("sha256", "")), by)
    if blanks.library(card):
        return _of_library(f"file:{reference}", path, card, settings, checked)
    own = build({**card, **settings}) if build is not None else None
    if own is not None:
        return _own(f"file:{reference}", path, card, own, checked)
    changed, arguments = inputs.separate({k: v for k, v in settings.items() if k != "architecture"})
    return _of_timm(
        f"file:{reference}",
        path,
        settings.get("architecture") or str(card.get("architecture") or ""),
        {**_arguments(card), **arguments},
        told=path.name,
        facts=_facts(card),
        preprocessing=inputs.sealed(_config(card), changed),
        checked=checked,
    )


def _of_transformers(path: Path) -> bool:
    """Whether a file of weights lies in a folder as transformers saves them."""
    config = path.parent / "config.json"
    if path.name != "model.safetensors" or not config.is_file():
        return False
    try:
        return "model_type" in json.loads(config.read_text("utf-8"))
    except ValueError:
        return False


def _own(
    uri: str,
    path: Path,
    card: Mapping[str, Any],
    own: tuple[Rebuild, Mapping[str, Any]],
    checked: tuple[str, ...],
) -> Loaded:
    """A network that the modality builds."""
    rebuild, preprocessing = own
    module = rebuild(0)
    fill(module, weights(path), path.name)
    return inputs.document(
        uri,
        module,
        library="headstart",
        family=str(card.get("architecture", "")).partition(",")[0],
        facts={"name": path.stem, **_facts(card)},
        preprocessing=preprocessing,
        rebuild=rebuild,
        checked=checked,
    )


def _of_library(
    uri: str,
    path: Path,
    card: Mapping[str, Any],
    settings: Mapping[str, str],
    checked: tuple[str, ...],
) -> Loaded:
    """A network of the library that the document names."""
    changed, given = inputs.separate({k: v for k, v in settings.items() if k != "architecture"})
    architecture = settings.get("architecture") or card.get("architecture")
    stated = {**_arguments(card), **given}
    told = blanks.named({**card, "architecture": architecture, "arguments": stated})
    preprocessing = inputs.sealed(_config(card), changed)
    module, rebuild = blanks.built(told, tuple(preprocessing["input_size"]))
    fill(module, weights(path), path.name)
    graph = told["library"] == "keras"  # written down in torch, so that its class tells nothing
    return inputs.document(
        uri,
        module,
        library=told["library"],
        family=told["architecture"] if graph else type(module).__name__,
        facts=_facts(card),
        preprocessing=preprocessing,
        rebuild=rebuild,
        config={"card": told},
        checked=checked,
    )


def _of_timm(
    uri: str,
    path: Path,
    architecture: str,
    arguments: Mapping[str, Any],
    *,
    told: str,
    facts: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    checked: tuple[str, ...] = (),
) -> Loaded:
    """A network of timm with the weights in a file; `told` is what errors call that."""
    module, rebuild = _create(architecture, arguments)
    fill(module, weights(path), told)
    return inputs.document(
        uri,
        module,
        library="timm",
        family=type(module).__name__,
        facts=facts,
        preprocessing=preprocessing,
        rebuild=rebuild,
        checked=checked,
    )


def _folder(path: Path, settings: Mapping[str, str], *, offline: bool) -> Loaded:
    """A folder with config.json: of transformers when it names a model_type, else of timm."""
    config = path / "config.json"
    if not config.is_file():
        raise SourceError(
            f"{path} has no config.json. Expected a saved timm or transformers model."
        )
    known = json.loads(config.read_text("utf-8"))
    if "model_type" in known:
        from headstart.providers import hf

        return hf.open(str(path), settings, offline=offline)
    changed, arguments = inputs.separate(settings)
    cfg = dict(known.get("pretrained_cfg", {}))
    return _of_timm(
        f"file:{path}",
        path / "model.safetensors",
        str(known.get("architecture", "")),
        {"num_classes": known.get("num_classes", 1000), **arguments},
        told=path.name,
        facts={"licence": cfg.get("license"), "revision": cfg.get("tag")},
        preprocessing=inputs.sealed(cfg, changed),
    )


def weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, float16 widened to float32. Raises SourceError."""
    try:
        return {
            name: t.float() if t.is_floating_point() else t for name, t in load_file(path).items()
        }
    except (SafetensorError, OSError) as error:
        raise DamagedError(
            f"{path.name} is no whole safetensors file ({error}). Copy it again, or fetch it anew."
        ) from error


def fill(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Loads weights strictly; only batch-norm counters may be missing. Raises SourceError."""
    try:
        missing, extra = module.load_state_dict(dict(tensors), strict=False)
    except RuntimeError as error:
        raise SourceError(f"The weights in {name} have other shapes: {error}") from error
    missing = [m for m in missing if not m.endswith("num_batches_tracked")]
    if missing or extra:
        raise SourceError(
            f"The weights in {name} do not fit {type(module).__name__}: missing {missing[:3]}, "
            f"unexpected {extra[:3]}. Check the architecture's name and its arguments."
        )
    module.eval()


def _create(architecture: str, arguments: Mapping[str, Any]) -> tuple[nn.Module, Rebuild]:
    """The network, its weights to be filled, and how it is drawn anew. Raises SourceError."""
    if not architecture:
        raise SourceError(
            "The weights come without an architecture. Name it: file:PATH?architecture=resnet18, or "
            'put {"architecture": "resnet18"} into a .json file beside the weights.'
        )
    import timm

    from headstart.providers.timm import rebuilder

    if not timm.is_model(architecture):
        offer = nearest(architecture, timm.list_models())
        raise SourceError(f"timm knows no architecture '{architecture}'. {offer}")
    rebuild = rebuilder(architecture, arguments)
    try:
        return rebuild(0), rebuild
    except TypeError as error:
        raise SourceError(f"{architecture} does not take these arguments: {error}.") from error


def _arguments(card: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the network that the document states."""
    stated, classes = card.get("arguments") or {}, card.get("num_classes")
    if not isinstance(stated, Mapping):
        raise SourceError(
            f"The document's 'arguments' came as {stated!r}; expected a table, such as "
            '{"num_classes": 10}.'
        )
    made = dict(stated)
    if classes is not None:
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
            raise SourceError(
                f"The document's 'num_classes' came as {classes!r}; expected a whole number from 0 on."
            )
        made.setdefault("num_classes", classes)
    if "SAME" in str(card.get("padding", "")):
        made.setdefault("pad_type", "same")
    return made


def _config(card: Mapping[str, Any]) -> dict[str, Any]:
    made = {k: card[k] for k in ("input_size", "interpolation", "crop_pct") if k in card}
    for key in ("mean", "std"):
        value = card.get(key, card.get(f"input_{key}"))
        if value is not None:
            made[key] = value
    return made


def _facts(card: Mapping[str, Any]) -> dict[str, Any]:
    made = {k: card[k] for k in (*inputs.FACTS, "parents") if card.get(k) is not None}
    parents = made.get("parents", ())
    if not isinstance(parents, (list, tuple)) or not all(isinstance(p, Mapping) for p in parents):
        raise SourceError(
            f"The document's 'parents' came as {parents!r}; expected a list of tables with name and licence."
        )
    if made.get("trained_on", UNKNOWN) == UNKNOWN and "source" in card:
        made["trained_on"] = f"{UNKNOWN}; weights from {card['source']}"
    return made
