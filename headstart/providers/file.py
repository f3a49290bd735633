"""`file:PATH`: weights in a safetensors file beside a JSON document, or a folder of a library.

    file:weights/mobilenet.safetensors?architecture=mobilenetv2_100&pad_type=same&input_size=160
    file:my-model/            config.json + model.safetensors, as timm or transformers save them; of
                              transformers the file itself may be named as well

The architecture is one of timm's, or one that the modality builds itself from what the document says.

The JSON document beside `x.safetensors` is `x.json`; it may hold `architecture`, `arguments`,
`num_classes`, `input_size`, `mean`, `std` (or `input_mean`, `input_std`), `interpolation`, `crop_pct`,
`licence`, `trained_on`, `data_licence`, `parents`, `paper`, `revision`, and `sha256` of the file, which is
then checked. Settings in the URI win.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.core import digest
from headstart.core.source import UNKNOWN, Loaded, Source
from headstart.errors import DamagedError, SourceError, nearest
from headstart.providers._inputs import card as beside
from headstart.providers._inputs import intact

NEEDS = ("build",)
Build = Callable[[Mapping[str, Any]], tuple[Callable[[int], nn.Module], Mapping[str, Any]] | None]
_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib")


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
        SourceError: missing, no safetensors, unknown architecture, weights that do not fit.
    """
    path = Path(reference).expanduser()
    if not path.exists():
        raise SourceError(
            f"There is no file {path}. Expected a .safetensors file or a model folder."
        )
    if path.is_dir():
        return _folder(path, settings, offline=offline)
    if path.suffix.lower() in _PICKLES:
        raise SourceError(
            f"{path.name} is a pickle, which can run any code when opened, so it is refused. Convert "
            "it where you trust it: safetensors.torch.save_file(torch.load(path, "
            "weights_only=True), 'weights.safetensors')."
        )
    if _of_transformers(path):
        return _folder(path.parent, settings, offline=offline)
    card = beside(path)
    declared = entry or card
    by = "the catalogue" if entry else path.with_suffix(".json").name
    checked = intact(path, str(declared.get("sha256", "")), by)
    own = build({**card, **settings}) if build is not None else None
    if own is not None:
        rebuild, preprocessing = own
        module = rebuild(0)
        fill(module, weights(path), path.name)
        made = _own(f"file:{reference}", module, card, preprocessing, rebuild)
        return dataclasses.replace(made, checked=checked)
    from headstart.providers.timm import document, rebuilder, sealed, separate

    inputs, arguments = separate({k: v for k, v in settings.items() if k != "architecture"})
    architecture = settings.get("architecture") or str(card.get("architecture", ""))
    arguments = {**_arguments(card), **arguments}
    module = _create(architecture, arguments)
    fill(module, weights(path), path.name)
    made = document(
        f"file:{reference}",
        module,
        _facts(card),
        sealed(_config(card), inputs),
        rebuilder(architecture, arguments),
    )
    return dataclasses.replace(made, checked=checked)


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
    module: nn.Module,
    card: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    rebuild: Callable[[int], nn.Module],
) -> Loaded:
    """A network that the modality built."""
    architecture = str(card.get("architecture", "")).partition(",")[0]
    source = Source(
        uri=uri,
        name=Path(uri.partition(":")[2]).stem,
        family=architecture,
        sha256=digest.tensors(module.state_dict().items()),
        parameters=sum(p.numel() for p in module.parameters()),
        preprocessing=preprocessing,
        **_facts(card),
    )
    return Loaded(source, module, {"library": "headstart", "architecture": architecture}, rebuild)


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
    from headstart.providers.timm import document, rebuilder, sealed, separate

    inputs, arguments = separate(settings)
    architecture = str(known.get("architecture", ""))
    arguments = {"num_classes": known.get("num_classes", 1000), **arguments}
    module = _create(architecture, arguments)
    fill(module, weights(path / "model.safetensors"), path.name)
    cfg = dict(known.get("pretrained_cfg", {}))
    facts = {"licence": cfg.get("license") or UNKNOWN, "revision": cfg.get("tag") or UNKNOWN}
    rebuild = rebuilder(architecture, arguments)
    return document(f"file:{path}", module, facts, sealed(cfg, inputs), rebuild)


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


def _create(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
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
    try:
        return rebuilder(architecture, arguments)(0)
    except TypeError as error:
        raise SourceError(f"{architecture} does not take these arguments: {error}.") from error


def _arguments(card: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the network that the document states."""
    made = dict(card.get("arguments", {}))
    if "num_classes" in card:
        made.setdefault("num_classes", card["num_classes"])
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
    said = ("licence", "revision", "trained_on", "data_licence", "paper")
    made: dict[str, Any] = {k: str(card.get(k, UNKNOWN)) for k in said}
    made["parents"] = tuple(card.get("parents", ()))
    if made["trained_on"] == UNKNOWN and "source" in card:
        made["trained_on"] = f"{UNKNOWN}; weights from {card['source']}"
    return made
