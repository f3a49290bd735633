"""timm networks as ordered stages; every other picture network as one stage.

Staged families (timm class): ResNet, EfficientNet (also MobileNetV2), MobileNetV3, ConvNeXt,
VisionTransformer, VGG (arXiv:1409.1556), InceptionV3 (arXiv:1512.00567), InceptionV4 and
InceptionResnetV2 (arXiv:1602.07261). Networks of other libraries (`Loaded.config["library"]`) are laid out by
the files beside this one. Whatever can be laid out as (N, C, H, W) may be read by them: photos,
spectrograms.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core import classifier
from headstart.core.modality import Transform
from headstart.core.network import Backbone, State
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities._layouts import Layout, Plan, Step, chain, module, numbered

# What `headstart pretrain` trains where no architecture is named: that of the source drawn by formula.
DEFAULT = {
    "architecture": "resnet18",
    "arguments": {
        "layers": [1, 1, 1, 1],
        "channels": [32, 64, 128, 320],
        "stem_width": 16,
        "stem_type": "deep",
        "avg_down": True,
    },
    "input_size": [3, 48, 48],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
}


class PictureBackbone(Backbone):
    """A network over (N, C, H, W) pixels; the state holds one tensor, `maps` or `tokens`.

    Args:
        net: the untouched network; its classifier is taken off.
        layout: its stages.
    """

    def __init__(self, net: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.net = net
        self.width = layout.width
        self.stages = tuple(name for name, _, _ in layout.plan)
        self.key = layout.key
        self.frozen = layout.frozen
        self.attends = layout.key if layout.attends else ""
        self._plan = layout.plan
        self._pooled = layout.pooled
        head = net.get_submodule(layout.head) if layout.head else None
        if hasattr(net, "get_classifier"):
            head = net.get_classifier()
        if isinstance(head, nn.Module) and any(True for _ in head.parameters()):
            self.source_head = copy.deepcopy(head)
            if layout.head:
                classifier.take_off(net, layout.head)
            else:
                net.reset_classifier(0)  # type: ignore[operator]

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """{"pixels": (N, C, H, W)} or a kept state -> the state before stage `stop`."""
        value = state["pixels"] if start == 0 else state[self.key]
        for _, _, step in self._plan[start:stop]:
            value = step(self.net, value)
        return {"pixels" if stop == 0 else self.key: value}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """As timm's `forward_head(..., pre_logits=True)` does: (N, width)."""
        return self._pooled(self.net, state[self.key])

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Places of the last map, row by row, or tokens: (N, L, C), all real."""
        value = state[self.key]
        if self.key == "maps":
            value = value.flatten(2).transpose(1, 2)
        return value, torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)

    def operations(self, start: int, stop: int | None) -> float | None:
        """Of a network that runs outside torch, all in its one stage."""
        told = getattr(self.net, "operations", None)
        return float(told) if told is not None and start == 0 and stop != 0 else None

    def stage_of(self, name: str) -> int:
        """Stage of a parameter or buffer; -1 for the source's own head; what pools: the last."""
        if name.startswith("source_head."):
            return -1
        inner = name.removeprefix("net.")
        for place, (_, owned, _) in enumerate(self._plan):
            if any(inner == prefix or inner.startswith(prefix + ".") for prefix in owned):
                return place
        return len(self.stages) - 1


def stage(loaded: Loaded, transform: Transform | None = None) -> PictureBackbone:
    """The staged network. Raises SourceError when it cannot read pictures."""
    return PictureBackbone(loaded.module, _layout(loaded)).eval()


def reference(loaded: Loaded, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the untouched network calls its features before the classifier."""
    return {"pool": _layout(loaded).whole(loaded.module, inputs["pixels"])}


def _layout(loaded: Loaded) -> Layout:
    """By the library that made the network. Raises SourceError when it cannot read pictures."""
    name = _LIBRARIES.get(str(loaded.config.get("library")))
    if name:
        made: Layout = importlib.import_module(f"headstart.modalities.{name}").layout(loaded.module)
        return made
    net = loaded.module
    if not hasattr(net, "forward_features") or not hasattr(net, "forward_head"):
        raise SourceError(
            f"{loaded.source.uri} gave a {type(net).__name__}, which reads no pictures. "
            "Expected a network of the timm library; see `headstart sources`."
        )
    family = type(net).__name__
    plan_of = _FAMILIES.get(family)
    plan, key = plan_of(net) if plan_of else _one_stage(net)
    return Layout(
        plan=plan,
        key=key,
        attends=key == "tokens",
        pooled=_POOLED.get(family, _forward_head),
        width=int(getattr(net, "head_hidden_size", None) or net.num_features),  # type: ignore[arg-type]
        whole=lambda net, pixels: net.forward_head(_features(net, pixels), pre_logits=True),
    )


def _features(net: Any, pixels: Tensor) -> Tensor:
    """`forward_features` without the scores of an auxiliary classifier, which InceptionV3 adds."""
    found = net.forward_features(pixels)
    return found[0] if isinstance(found, tuple) else found


def _forward_head(net: nn.Module, value: Tensor) -> Tensor:
    return _flat(net.forward_head(value, pre_logits=True))  # type: ignore[operator]


def _flat(features: Tensor) -> Tensor:
    return features.flatten(1) if features.ndim > 2 else features


def _resnet(net: nn.Module) -> tuple[Plan, str]:
    stem = ("conv1", "bn1", "act1", "maxpool")
    plan: Plan = [("stem", stem, chain(*stem))]
    for name in ("layer1", "layer2", "layer3", "layer4"):
        plan += [
            (f"{name}.{i}", (f"{name}.{i}",), module(f"{name}.{i}"))
            for i in range(len(net.get_submodule(name)))  # type: ignore[arg-type]
        ]
    return plan, "maps"


def _efficientnet(net: nn.Module) -> tuple[Plan, str]:
    plan: Plan = [("stem", ("conv_stem", "bn1"), chain("conv_stem", "bn1"))]
    plan += numbered(net, "blocks")
    plan.append(("conv_head", ("conv_head", "bn2"), chain("conv_head", "bn2")))
    return plan, "maps"


def _mobilenetv3(net: nn.Module) -> tuple[Plan, str]:
    plan: Plan = [("stem", ("conv_stem", "bn1"), chain("conv_stem", "bn1"))]
    return plan + numbered(net, "blocks"), "maps"


def _convnext(net: nn.Module) -> tuple[Plan, str]:
    plan: Plan = [("stem", ("stem",), module("stem"))]
    plan += numbered(net, "stages")
    plan.append(("norm_pre", ("norm_pre",), module("norm_pre")))
    return plan, "maps"


def _vit(net: nn.Module) -> tuple[Plan, str]:
    def embed(net: Any, value: Tensor) -> Tensor:
        return net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(value))))

    owned = ("patch_embed", "cls_token", "reg_token", "pos_embed", "norm_pre", "pos_drop")
    plan: Plan = [("embed", owned, embed), *numbered(net, "blocks")]
    plan.append(("norm", ("norm",), module("norm")))
    return plan, "tokens"


def _vgg(net: nn.Module) -> tuple[Plan, str]:
    """One stage a convolution, with its norm, activation and pooling; then the two wide layers."""
    groups: list[list[str]] = []
    for place, layer in enumerate(net.get_submodule("features").children()):
        if isinstance(layer, nn.Conv2d):
            groups.append([])
        groups[-1].append(f"features.{place}")
    plan: Plan = [(names[0], tuple(names), chain(*names)) for names in groups]
    return [*plan, ("pre_logits", ("pre_logits",), module("pre_logits"))], "maps"


def _vgg_pooled(net: Any, value: Tensor) -> Tensor:
    """timm counts the wide layers to the head; here they are a stage, and only the pooling is left."""
    return _flat(net.head(value, pre_logits=True))


_V3 = (
    *(("Conv2d_1a_3x3",), ("Conv2d_2a_3x3",), ("Conv2d_2b_3x3", "Pool1")),
    *(("Conv2d_3b_1x1",), ("Conv2d_4a_3x3", "Pool2")),
    *((f"Mixed_{name}",) for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")),
    *((f"Mixed_{name}",) for name in ("7a", "7b", "7c")),
)


def _inception_v3(net: Any) -> tuple[Plan, str]:
    """The auxiliary classifier only helped to train the source; no feature passes it, so it is taken off."""
    net.AuxLogits, net.aux_logits = None, False
    return [(names[0], names, chain(*names)) for names in _V3], "maps"


def _inception_v4(net: nn.Module) -> tuple[Plan, str]:
    return numbered(net, "features"), "maps"


def _inception_resnet_v2(net: nn.Module) -> tuple[Plan, str]:
    stem = (
        *(("conv2d_1a",), ("conv2d_2a",), ("conv2d_2b", "maxpool_3a")),
        *(("conv2d_3b",), ("conv2d_4a", "maxpool_5a"), ("mixed_5b",)),
    )
    plan: Plan = [(names[0], names, chain(*names)) for names in stem]
    plan += [*numbered(net, "repeat"), ("mixed_6a", ("mixed_6a",), module("mixed_6a"))]
    plan += [*numbered(net, "repeat_1"), ("mixed_7a", ("mixed_7a",), module("mixed_7a"))]
    plan += numbered(net, "repeat_2")
    plan += [(name, (name,), module(name)) for name in ("block8", "conv2d_7b")]
    return plan, "maps"


def _one_stage(net: nn.Module) -> tuple[Plan, str]:
    return [("all", (), _features)], "maps"


_LIBRARIES = {
    "torchvision": "_torchvision",
    "keras": "_graphs",
    "open_clip": "_open_clip",
    "onnx": "_frozen",
    "savedmodel": "_frozen",
}
"""File that lays out the networks of a library, beside those of timm."""

_FAMILIES: dict[str, Callable[[nn.Module], tuple[Plan, str]]] = {
    "ResNet": _resnet,
    "EfficientNet": _efficientnet,
    "MobileNetV3": _mobilenetv3,
    "ConvNeXt": _convnext,
    "VisionTransformer": _vit,
    "VGG": _vgg,
    "InceptionV3": _inception_v3,
    "InceptionV4": _inception_v4,
    "InceptionResnetV2": _inception_resnet_v2,
}
_POOLED: dict[str, Step] = {"VGG": _vgg_pooled}
"""What pools a family whose `forward_head` does more than that."""
