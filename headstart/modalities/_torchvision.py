"""torchvision's classification networks as ordered stages.

Staged families (class): ResNet and its kin, VGG, AlexNet, MobileNetV2, MobileNetV3, EfficientNet, ConvNeXt,
DenseNet, RegNet, ShuffleNetV2, MNASNet, SqueezeNet, Inception3, GoogLeNet, VisionTransformer and
SwinTransformer. Every other one runs as one stage. Features are what the last linear layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core import classifier
from headstart.errors import SourceError
from headstart.modalities import _layouts as layouts
from headstart.modalities._layouts import Layout, Plan

# One word a stage or a row of stages: modules joined by + run one after another; .* is each child, .** each
# child of each child that is a sequence.
_STAGES: dict[str, str] = {
    "ResNet": "conv1+bn1+relu+maxpool layer1.* layer2.* layer3.* layer4.*",
    "MobileNetV2": "features.*",
    "MobileNetV3": "features.*",
    "EfficientNet": "features.**",
    "ConvNeXt": "features.**",
    "DenseNet": "features.conv0+features.norm0+features.relu0+features.pool0 "
    "features.denseblock1 features.transition1 features.denseblock2 features.transition2 "
    "features.denseblock3 features.transition3 features.denseblock4+features.norm5",
    "RegNet": "stem trunk_output.**",
    "ShuffleNetV2": "conv1+maxpool stage2.* stage3.* stage4.* conv5",
    "MNASNet": "layers.0+layers.1+layers.2+layers.3+layers.4+layers.5+layers.6+layers.7 layers.8.* "
    "layers.9.* layers.10.* layers.11.* layers.12.* layers.13.* layers.14+layers.15+layers.16",
    "SqueezeNet": "features.*",
    "Inception3": "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3+maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3+maxpool2 "
    "Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c",
    "GoogLeNet": "conv1+maxpool1 conv2 conv3+maxpool2 inception3a inception3b+maxpool3 inception4a "
    "inception4b inception4c inception4d inception4e+maxpool4 inception5a inception5b",
    "SwinTransformer": "features.** norm+permute",
}


def layout(net: Any) -> Layout:
    """Stages, pooling and classifier of a network. Raises SourceError for one without a classifier."""
    family, head = type(net).__name__, _head(net)
    for part in ("AuxLogits", "aux1", "aux2"):  # these only helped to train the source
        if getattr(net, part, None) is not None:
            setattr(net, part, None)
            net.aux_logits = False
    if family == "VisionTransformer":
        plan, key, pooled = _vit(net), "tokens", _first
    else:
        plan, key, pooled = _plan(net, family), "maps", _POOLED.get(family, _mean)
    return Layout(
        plan=plan,
        key=key,
        pooled=pooled,
        width=_width(net, head),
        whole=lambda net, pixels: layouts.read_by(net, head, pixels),
        head=head,
        attends=key == "tokens",
    )


def _head(net: nn.Module) -> str:
    """Path of what reads the features: the last linear layer, or what stands where it was taken off."""
    if type(net).__name__ == "SqueezeNet":  # a convolution classifies
        return "classifier"
    last = [(name, part) for name, part in net.named_modules() if not list(part.children())][-1]
    if not isinstance(last[1], (nn.Linear, nn.Identity)):
        raise SourceError(
            f"torchvision's {type(net).__name__} ends in a {type(last[1]).__name__}. Expected a "
            "classification network, which ends in a linear layer."
        )
    return last[0]


def _width(net: Any, head: str) -> int:
    """Features per sample; the network keeps them when its classifier is taken off."""
    return int(classifier.reads(net.get_submodule(head)) or net.feature_width)


def _plan(net: nn.Module, family: str) -> Plan:
    if family in ("VGG", "AlexNet"):
        made = _convolutions(net)
    elif family in _STAGES:
        made = [stage for word in _STAGES[family].split() for stage in _row(net, word)]
    else:
        return [("all", (), lambda net, value: net(value)[..., None, None])]
    if hasattr(net, "_transform_input"):
        name, owned, step = made[0]
        made[0] = (name, owned, lambda net, value: step(net, net._transform_input(value)))
    return [*made, ("classifier", ("classifier",), _top)] if family in _TOPPED else made


def _row(net: nn.Module, word: str) -> Iterator[tuple[str, tuple[str, ...], layouts.Step]]:
    """Stages that one word stands for."""
    if not word.endswith("*"):
        names = tuple(word.split("+"))
        yield names[0], names, layouts.chain(*names)
        return
    parent = word.rstrip("*.")
    for name, owned, step in layouts.numbered(net, parent):
        inner = net.get_submodule(name)
        if word.endswith("**") and isinstance(inner, nn.Sequential) and _blocks(inner):
            yield from layouts.numbered(net, name)
        else:
            yield name, owned, step


def _blocks(sequence: nn.Sequential) -> bool:
    """Whether its children are blocks, not layers of one block."""
    return all(len(list(child.children())) > 1 for child in sequence)


def _convolutions(net: nn.Module) -> Plan:
    """One stage a convolution, with its norm, activation and pooling."""
    groups: list[list[str]] = []
    for place, layer in enumerate(net.get_submodule("features").children()):
        if isinstance(layer, nn.Conv2d):
            groups.append([])
        groups[-1].append(f"features.{place}")
    return [(names[0], tuple(names), layouts.chain(*names)) for names in groups]


def _top(net: Any, value: Tensor) -> Tensor:
    """Wide layers between pooling and classifier, which is taken off: (N, width, 1, 1)."""
    made: Tensor = net.classifier(torch.flatten(net.avgpool(value), 1))
    return made[..., None, None]


def _mean(net: Any, value: Tensor) -> Tensor:
    return layouts.flat(value)


def _dropped(net: Any, value: Tensor) -> Tensor:
    """The mean, then what stands before the classifier: dropout, in training."""
    made: Tensor = net.classifier(layouts.flat(value))
    return made


def _dropped_alone(net: Any, value: Tensor) -> Tensor:
    made: Tensor = net.dropout(layouts.flat(value))
    return made


def _normed(net: Any, value: Tensor) -> Tensor:
    made: Tensor = net.classifier(net.avgpool(value))
    return made


def _rectified(net: Any, value: Tensor) -> Tensor:
    return layouts.flat(nn.functional.relu(value))


def _first(net: Any, value: Tensor) -> Tensor:
    """The class token, and the layers before the classifier."""
    made: Tensor = net.heads(value[:, 0])
    return made


_TOPPED = ("VGG", "AlexNet", "MobileNetV3")
_POOLED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "MobileNetV2": _dropped,
    "EfficientNet": _dropped,
    "MNASNet": _dropped,
    "Inception3": _dropped_alone,
    "GoogLeNet": _dropped_alone,
    "ConvNeXt": _normed,
    "DenseNet": _rectified,
}


def _vit(net: nn.Module) -> Plan:
    def embed(net: Any, value: Tensor) -> Tensor:
        value = net._process_input(value)
        first = net.class_token.expand(len(value), -1, -1)
        return net.encoder.dropout(torch.cat([first, value], 1) + net.encoder.pos_embedding)

    owned = ("conv_proj", "class_token", "encoder.pos_embedding")
    plan: Plan = [("embed", owned, embed), *layouts.numbered(net, "encoder.layers")]
    return [*plan, ("encoder.ln", ("encoder.ln",), layouts.module("encoder.ln"))]
