"""Staged families against their untouched networks, on small random instances."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import timm
import torch
from timm.models import convnext, vgg, vision_transformer
from torch import nn

from headstart.core import staging
from headstart.core.source import Loaded
from headstart.modalities.image import backbones, tiny

Make = Callable[[], nn.Module]
# timm.models.inception_v3 is a function of the module's name
INCEPTION = {
    name: import_module(f"timm.models.{name}")
    for name in ("inception_v3", "inception_v4", "inception_resnet_v2")
}


def small_vgg(norm: Any) -> nn.Module:
    """Four convolutions; the wide layers have 4 and 4096 channels."""
    return vgg.VGG([4, "M", 6, 6, "M", 8, "M"], num_classes=7, mlp_ratio=0.001, norm_layer=norm)


def small_inception_v4() -> nn.Module:
    """The stem and one block of each kind."""
    net = INCEPTION["inception_v4"].InceptionV4(num_classes=7)
    net.features = nn.Sequential(*(net.features[i] for i in (0, 1, 2, 3, 4, 5, 6, 10, 11, 18, 19)))
    return net


def small_inception_resnet_v2() -> nn.Module:
    """One block of each kind."""
    net = INCEPTION["inception_resnet_v2"].InceptionResnetV2(num_classes=7)
    for name in ("repeat", "repeat_1", "repeat_2"):
        setattr(net, name, getattr(net, name)[:1])
    return net


FAMILIES: dict[str, tuple[Make, int, int]] = {  # how it is made, side of its pictures, stages
    "ResNet": (lambda: tiny.network(0), 32, 5),
    "EfficientNet": (lambda: timm.create_model("mobilenetv2_035", num_classes=7), 32, 9),
    "MobileNetV3": (lambda: timm.create_model("mobilenetv3_small_050", num_classes=7), 32, 7),
    "ConvNeXt": (
        lambda: convnext.ConvNeXt(num_classes=7, depths=(1,) * 4, dims=(4, 6, 8, 10)),
        32,
        6,
    ),
    "VisionTransformer": (
        lambda: vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, num_classes=7, embed_dim=12, depth=2, num_heads=2
        ),
        32,
        4,
    ),
    "VGG": (lambda: small_vgg(None), 64, 5),
    "VGG with norms": (lambda: small_vgg(nn.BatchNorm2d), 64, 5),
    "InceptionV3": (lambda: INCEPTION["inception_v3"].InceptionV3(num_classes=7), 75, 16),
    "InceptionV4": (small_inception_v4, 80, 11),
    "InceptionResnetV2": (small_inception_resnet_v2, 80, 13),
}


def loaded(module: nn.Module) -> Loaded:
    return Loaded(tiny.loaded(0).source, module.eval(), {"library": "timm"}, None)


def pixels(side: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {"pixels": torch.randn(2, 3, side, side, generator=generator)}


def moved(module: nn.Module) -> nn.Module:
    """With batch-norm statistics of its own, so that a norm left out would be noticed."""
    generator = torch.Generator().manual_seed(2)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.add_(torch.randn(part.running_mean.shape, generator=generator) * 0.1)
    return module


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_says_what_its_network_says(family: str) -> None:
    make, side, stages = FAMILIES[family]
    torch.manual_seed(0)
    made, inputs = loaded(moved(make())), pixels(side)
    with torch.no_grad():
        said = backbones.reference(made, inputs)
    backbone = backbones.stage(made)
    staging.verify(backbone, said, inputs)
    assert len(backbone.stages) == stages
    assert len(set(backbone.stages)) == stages
    assert backbone.source_head is not None
    assert all(
        0 <= backbone.stage_of(name) < stages
        for name, _ in backbone.named_parameters()
        if not name.startswith("source_head.")
    )


@pytest.mark.parametrize("family", ["VGG with norms", "InceptionV4"])
def test_a_stage_reads_nothing_of_the_stages_above_it(family: str) -> None:
    make, side, stages = FAMILIES[family]
    torch.manual_seed(0)
    backbone, inputs = backbones.stage(loaded(make())), pixels(side)
    cut = stages // 2
    with torch.no_grad():
        before = backbone.run(inputs, stop=cut)["maps"].clone()
        above = [p for n, p in backbone.named_parameters() if backbone.stage_of(n) >= cut]
        for parameter in above:
            parameter.add_(1.0)
        assert torch.equal(backbone.run(inputs, stop=cut)["maps"], before)
        assert not torch.equal(backbone.run(inputs)["maps"], before)


def test_vgg_s_wide_layers_are_a_stage_of_their_own() -> None:
    backbone = backbones.stage(loaded(small_vgg(None)))
    assert backbone.stages[-1] == "pre_logits"
    assert backbone.width == 4096
    assert backbone.stage_of("net.pre_logits.fc1.weight") == len(backbone.stages) - 1
    assert backbone.stage_of("net.features.0.weight") == 0


def test_the_auxiliary_classifier_of_inception_is_taken_off() -> None:
    """Weights that were trained with it load, its scores are no features, and nothing of it is kept."""
    torch.manual_seed(0)
    net = INCEPTION["inception_v3"].InceptionV3(num_classes=7, aux_logits=True)
    made, inputs = loaded(net), pixels(299)
    with torch.no_grad():
        said = backbones.reference(made, inputs)
        backbone = backbones.stage(made)
        pooled = backbone.pool(backbone.run(inputs))
    assert torch.allclose(pooled, said["pool"], atol=1e-5)
    assert not any("AuxLogits" in name for name, _ in backbone.named_parameters())


def test_dropout_before_the_classifier_acts_in_training_only() -> None:
    torch.manual_seed(0)
    net = small_inception_v4()
    net.head_drop = nn.Dropout(0.5)
    backbone, inputs = backbones.stage(loaded(net)), pixels(80)
    with torch.no_grad():
        state = backbone.run(inputs)
        still = backbone.pool(state)
        assert torch.equal(backbone.pool(state), still)
        backbone.net.head_drop.train()
        dropped = backbone.pool(state)
    assert 0.4 < float((dropped[still > 0] == 0).float().mean()) < 0.6
