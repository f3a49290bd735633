"""OpenCLIP's picture towers as stages: VisionTransformer and ModifiedResNet; every other one as one stage.

Features are what the tower gives, in the space that it shares with texts, not scaled to length one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from headstart.modalities import _layouts as layouts
from headstart.modalities._layouts import Layout, Plan


def layout(net: Any) -> Layout:
    """Stages and pooling of a tower."""
    family = type(net).__name__
    if family == "VisionTransformer" and hasattr(getattr(net, "transformer", None), "resblocks"):
        plan, key, pooled = _vit(net), "tokens", _pooled
    elif family == "ModifiedResNet":
        plan, key, pooled = _resnet(net), "maps", _attended
    else:
        plan, key, pooled = [("all", (), _whole)], "maps", lambda net, value: layouts.flat(value)
    return Layout(
        plan=plan,
        key=key,
        pooled=pooled,
        width=_width(net),
        whole=lambda net, pixels: _features(net, pixels),
        attends=key == "tokens" and bool(net.transformer.batch_first),
    )


def _features(net: Any, pixels: Tensor) -> Tensor:
    """What the tower gives, without tokens that some towers give beside it."""
    found = net(pixels)
    made: Tensor = found[0] if isinstance(found, tuple) else found
    return made


def _whole(net: Any, pixels: Tensor) -> Tensor:
    return _features(net, pixels)[..., None, None]


def _width(net: Any) -> int:
    if getattr(net, "output_dim", None) and type(net).__name__ != "VisionTransformer":
        return int(net.output_dim)
    if getattr(net, "proj", None) is not None and hasattr(net.proj, "shape"):
        return int(net.proj.shape[1])
    import torch

    size = net.image_size
    high, wide = size if isinstance(size, (tuple, list)) else (size, size)
    with torch.no_grad():
        return int(_features(net, torch.zeros(1, 3, high, wide)).shape[1])


def _vit(net: Any) -> Plan:
    def embed(net: Any, value: Tensor) -> Tensor:
        made: Tensor = net._embeds(value)
        return made if net.transformer.batch_first else made.transpose(0, 1)

    owned = ("conv1", "class_embedding", "positional_embedding", "patch_dropout", "ln_pre")
    return [("embed", owned, embed), *layouts.numbered(net, "transformer.resblocks")]


def _pooled(net: Any, value: Tensor) -> Tensor:
    tokens = value if net.transformer.batch_first else value.transpose(0, 1)
    made: Tensor = net._pool(tokens)[0]
    return made if net.proj is None else made @ net.proj


def _resnet(net: Any) -> Plan:
    stem = ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "conv3", "bn3", "act3", "avgpool")
    plan: Plan = [("stem", stem, lambda net, value: net.stem(value))]
    for name in ("layer1", "layer2", "layer3", "layer4"):
        plan += layouts.numbered(net, name)
    return plan


def _attended(net: Any, value: Tensor) -> Tensor:
    made: Tensor = net.attnpool(value)
    return made
