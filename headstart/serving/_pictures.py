"""A network of pictures as timm or torchvision loads it: weights and head in one file, and its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.errors import PackError
from headstart.registry import files
from headstart.serving import _written as written
from headstart.serving._written import WEIGHTS, Given, Told

CONFIG = "config.json"
PROBES = 4
MODALITY = "image"


def timm(given: Given, folder: Path) -> Told:
    """Writes `config.json` and `model.safetensors`, which timm opens as "local-dir:FOLDER".

    Raises:
        PackError: the family's classifier is not one linear layer on the pooled features.
    """
    import timm as library

    net = _net(given, "timm")
    config: dict[str, Any] = dict(getattr(net, "pretrained_cfg", None) or {})
    name = str(config.get("architecture") or "")
    if not library.is_model(name):
        raise PackError(
            f"The network ({type(net).__name__}) does not say under which name timm makes it, so timm could "
            "not open it. Use the pack itself."
        )
    arguments = _arguments(given, net)
    outputs = len(given.linear()[1])
    fresh = _fresh(lambda: library.create_model(name, **{**arguments, "num_classes": outputs}))
    held = _filled(given, net, fresh, _classifier(fresh))
    written.tensors(folder / WEIGHTS, held)
    _json(folder / CONFIG, _config(given, net, name, arguments, outputs))
    again = library.create_model(f"local-dir:{folder}", pretrained=True).eval()
    pixels = _pixels(given)
    with torch.inference_mode():
        worst = written.gap(again(pixels), given.outputs({"pixels": pixels}), "timm")
    return Told(f"{name}, as timm loads it", _timm_how(given, name), worst, _checked("timm"))


def torchvision(given: Given, folder: Path) -> Told:
    """Writes `config.json` (name, arguments, preparation) and `model.safetensors`, a plain state.

    Raises:
        PackError: the family's classifier is not one linear layer on the pooled features.
    """
    from headstart.core import plugins

    net = _net(given, "torchvision")
    name = given.loaded.source.uri.partition(":")[2].partition("?")[0]
    provider: Any = plugins.load("provider", "torchvision")
    arguments = {"num_classes": len(given.linear()[1])}
    fresh = _fresh(lambda: provider.rebuilder(name, arguments)(0))
    for part in ("AuxLogits", "aux1", "aux2"):
        if getattr(fresh, part, None) is not None:
            raise PackError(
                f"torchvision's {name} has a second classifier that only helped to train the source and was "
                "taken off, so its state is not whole. Use the pack itself."
            )
    held = _filled(given, net, fresh, _last(fresh))
    written.tensors(folder / WEIGHTS, held)
    sealed = _sealed(given)
    told = {
        "architecture": name,
        "arguments": arguments,
        "label_names": list(given.classes),
        **sealed,
    }
    _json(folder / CONFIG, told)
    again = _fresh(lambda: provider.rebuilder(name, arguments)(1))
    again.load_state_dict(load_file(folder / WEIGHTS))
    pixels = _pixels(given)
    with torch.inference_mode():
        worst = written.gap(again.eval()(pixels), given.outputs({"pixels": pixels}), "torchvision")
    how = _HOW_TORCHVISION.format(name=name, outputs=arguments["num_classes"], file=WEIGHTS)
    title = f"{name}, as torchvision loads it"
    return Told(title, how + _prepared(sealed), worst, _checked("torchvision"))


def _net(given: Given, library: str) -> Any:
    """The network with the run's weights, its classifier off. Raises PackError."""
    found = str(given.loaded.config.get("library"))
    if found != library or given.pack.modality != MODALITY:
        raise PackError(
            f"The run stands on a network of {found} that reads {given.pack.modality} samples; "
            f"{library} opens "
            "networks of its own that read pictures. Choose another form (--to), or use the pack itself."
        )
    return given.network.backbone.net


def _fresh(make: Any) -> Any:
    """A network of random weights, torch's generator left as it was."""
    with torch.random.fork_rng(devices=[]):
        return make().eval()


def _arguments(given: Given, net: Any) -> dict[str, Any]:
    """With which timm made the network, but for its classes."""
    query = dict(parse_qsl(given.loaded.source.uri.partition("?")[2]))
    asked = getattr(net, "_model_args", None)
    if asked is None:  # an older timm keeps none
        from headstart.providers import _inputs as inputs

        asked = inputs.separate({k: v for k, v in query.items() if k != "architecture"})[1]
    made = {k: v for k, v in dict(asked).items() if k not in ("num_classes", "pretrained")}
    try:
        json.dumps(made)
    except TypeError as error:
        raise PackError(
            f"The network was made with arguments that no file can hold ({error}). Use the pack itself."
        ) from error
    return made


def _classifier(net: Any) -> str:
    """Name of timm's classifier. Raises PackError unless it is one linear layer."""
    found = net.get_classifier()
    name = next((n for n, m in net.named_modules() if m is found), "")
    if not isinstance(found, nn.Linear) or not name:
        raise PackError(
            f"The classifier of timm's {type(net).__name__} is a {type(found).__name__}, not one "
            "linear layer, "
            "as the run's head is. Use the pack itself."
        )
    return name


def _last(net: nn.Module) -> str:
    """Name of torchvision's classifier. Raises PackError unless it is a linear layer that comes last."""
    name, found = [(n, m) for n, m in net.named_modules() if not list(m.children())][-1]
    if not isinstance(found, nn.Linear):
        raise PackError(
            f"torchvision's {type(net).__name__} ends in a {type(found).__name__}, not in a linear layer, as "
            "the run's head is. Use the pack itself."
        )
    return name


def _filled(given: Given, net: nn.Module, fresh: nn.Module, head: str) -> dict[str, Tensor]:
    """The run's tensors under the library's names. Raises PackError where they are not all there."""
    weight, bias = given.linear()
    held = {**net.state_dict(), f"{head}.weight": weight, f"{head}.bias": bias}
    try:
        fresh.load_state_dict(held)
    except RuntimeError as error:
        raise PackError(
            f"The run's weights do not fit {type(fresh).__name__} as the library makes it: "
            f"{str(error).splitlines()[-1].strip()} Use the pack itself."
        ) from error
    return held


def _sealed(given: Given) -> dict[str, Any]:
    """How the run prepares pictures."""
    state = given.predictor.transform.state()
    return {
        "input_size": [int(state["channels"]), *(int(v) for v in state["side"])],
        **{k: state[k] for k in ("mean", "std", "interpolation")},
        "crop_pct": float(state["crop"]),
    }


def _config(
    given: Given, net: Any, name: str, arguments: Mapping[str, Any], outputs: int
) -> dict[str, Any]:
    """timm's document of a folder."""
    sealed = _sealed(given)
    licence = given.loaded.source.licence
    return {
        "architecture": name,
        "num_classes": outputs,
        "num_features": int(net.num_features),
        **({"label_names": list(given.classes)} if given.classes else {}),
        **({"model_args": dict(arguments)} if arguments else {}),
        "pretrained_cfg": {
            "tag": given.pack.recipe.get("run", "headstart") or "headstart",
            "custom_load": False,
            "num_classes": outputs,
            "license": licence,
            "fixed_input_size": bool((net.pretrained_cfg or {}).get("fixed_input_size", False)),
            **{
                k: net.pretrained_cfg[k]
                for k in ("first_conv", "classifier")
                if net.pretrained_cfg.get(k)
            },
            **sealed,
        },
    }


def _pixels(given: Given) -> Tensor:
    """Drawn pixels, (PROBES, channels, height, width)."""
    size = [int(v) for v in _sealed(given)["input_size"]]
    return torch.randn((PROBES, *size), generator=torch.Generator().manual_seed(0))


def _checked(library: str) -> str:
    return f"on {PROBES} drawn inputs, by the outputs of the network that {library} loads from this folder"


def _json(path: Path, values: Mapping[str, Any]) -> None:
    files.write(path, f"{json.dumps(values, indent=2)}\n".encode())


def _timm_how(given: Given, name: str) -> str:
    return _HOW_TIMM.format(name=name, outputs=len(given.linear()[1]), file=WEIGHTS) + _prepared(
        _sealed(given)
    )


def _prepared(sealed: Mapping[str, Any]) -> str:
    told = ", ".join(f"{k} {v}" for k, v in sealed.items())
    return (
        f"\n\nPictures are prepared with {told}. The library's own preparation resizes by its own "
        "arithmetic, so "
        "probabilities of files may differ a little from the run's; on equal pixels they are equal."
    )


_HOW_TIMM = """```python
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()  # the path of this folder
prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
```

or, without the document (with the `model_args` of `config.json`, where there are any):
`timm.create_model("{name}", num_classes={outputs}, checkpoint_path="FOLDER/{file}")`."""

_HOW_TORCHVISION = """```python
from safetensors.torch import load_file
from torchvision import models

model = models.get_model("{name}", weights=None, num_classes={outputs})
model.load_state_dict(load_file("FOLDER/{file}"))  # the path of this folder
model.eval()
```"""
