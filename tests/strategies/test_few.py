"""Offsets, adapters and prompts: what they add to a network, what they leave alone, and whom they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from headstart.core.network import Backbone, Network
from headstart.core.source import Loaded
from headstart.core.strategy import Batch
from headstart.errors import ContractError, PlanError
from headstart.heads import classify
from headstart.modalities import _pictures
from headstart.modalities.text import backbones, tiny
from headstart.strategies import adapter, bitfit, prompt
from headstart.strategies._between import carried
from tests.engine import small


class Inputs:
    """A stream of one batch."""

    start = 0

    def __init__(self, inputs: Mapping[str, Tensor]) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        return Batch({n: t[places] for n, t in self.inputs.items()}, {}, 0)


def headed(backbone: Backbone) -> Network:
    targets = classify.learn([0, 1, 2])
    return Network(backbone, {"classify": classify.Head(backbone.width, targets)}).eval()


def prepared(strategy: Any, backbone: Backbone, inputs: Mapping[str, Tensor]) -> Network:
    made = headed(backbone)
    torch.manual_seed(0)
    strategy.prepare(made, {"train": Inputs(inputs)})
    return made


def words(lengths: list[int], windows: list[list[int]] | None = None) -> dict[str, Tensor]:
    """Random tokens of rows of some lengths, padded; `windows`, how long each row's windows are."""
    rng = np.random.default_rng(0)
    longest = max(lengths)
    ids = torch.zeros(len(lengths), longest, dtype=torch.int64)
    mask = torch.zeros(len(lengths), longest, dtype=torch.bool)
    cut = torch.zeros(len(lengths), longest, dtype=torch.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.from_numpy(rng.integers(5, 40, length))
        mask[row, :length] = True
        if windows:
            parts = np.repeat(np.arange(len(windows[row])), windows[row])
            cut[row, :length] = torch.from_numpy(parts)
    return {"ids": ids, "mask": mask, **({"windows": cut} if windows else {})}


def pictures() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {"pixels": torch.randn(3, 3, 16, 16)}


def loaded(module: nn.Module, library: str) -> Loaded:
    source = tiny.loaded(0).source
    return Loaded(source, module.eval(), {"library": library}, None)


def vit(library: str) -> Backbone:
    shape: dict[str, Any] = {"patch_size": 8, "num_classes": 4}
    torch.manual_seed(0)
    if library == "timm":
        kind = timm.models.vision_transformer.VisionTransformer
        module = kind(img_size=16, embed_dim=24, depth=2, num_heads=2, **shape)
    else:
        sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 24, "mlp_dim": 48}
        module = torchvision.models.VisionTransformer(image_size=16, **sizes, **shape)
    return _pictures.stage(loaded(module, library))


# Offsets.


def test_offsets_alone_are_named() -> None:
    made = headed(backbones.stage(tiny.loaded(0)))
    named = bitfit.Strategy(bitfit.Settings()).trained(made)
    vectors = {n for n, p in made.named_parameters() if n.endswith("bias")}
    assert set(named) == {n for n in vectors if n.startswith("backbone.")}
    assert any("LayerNorm.bias" in n for n in named)
    above = bitfit.Strategy(bitfit.Settings(cut=-1)).trained(made)
    assert set(above) == {n for n in named if "layer.1." in n}


def test_a_network_without_offsets_is_refused() -> None:
    class Bare(small.Small):
        stages = ("first",)

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, small.WIDTH, bias=False)
            del self.norm, self.last

    why = bitfit.Strategy(bitfit.Settings()).refuse(headed(Bare()))
    assert "no layer" in why and "lora" in why


@pytest.mark.parametrize("kind", [adapter, bitfit, prompt])
def test_a_frozen_source_is_refused_with_its_reason(kind: Any) -> None:
    made = small.network()
    made.backbone.frozen = "it runs in another library"
    why = kind.Strategy(kind.Settings()).refuse(made)
    assert why.startswith("it runs in another library") and "linear_probe" in why


@pytest.mark.parametrize("kind", [adapter, bitfit, prompt])
def test_bad_settings_are_named(kind: Any) -> None:
    with pytest.raises(PlanError, match="epochs came as 0"):
        kind.Settings(epochs=0)
    with pytest.raises(PlanError, match="dropout"):
        kind.Settings(dropout=-0.1)


# Adapters.


def test_an_adapter_begins_as_nothing_and_stands_behind_every_stage() -> None:
    backbone, inputs = backbones.stage(tiny.loaded(0)), words([7, 4])
    before = {n: t.clone() for n, t in backbone.state_dict().items()}
    with torch.no_grad():
        said = backbone.pool(backbone.run(inputs))
        made = prepared(adapter.Strategy(adapter.Settings(cut=-2)), backbone, inputs)
        assert torch.equal(made(inputs, want="features"), said)
        assert list(made.backbone.adapters) == ["1", "2"]
        made.backbone.adapters["1"].up.weight.normal_()
        assert not torch.allclose(made(inputs, want="features"), said)
    after = made.backbone.state_dict()
    assert all(torch.equal(after[n], t) for n, t in before.items())
    assert made.backbone.stage_of("adapters.1.up.weight") == 1
    assert made.backbone.adapters["1"].down.weight.shape == (32, 32)  # no wider than what it reads


def test_maps_are_read_channel_by_channel_wherever_channels_stand() -> None:
    like = torch.zeros(1)
    torch.manual_seed(0)
    one = adapter.Bottleneck(5, 3, like)
    nn.init.normal_(one.up.weight)
    maps = torch.randn(2, 5, 4, 4)
    last = one(maps.movedim(1, -1))
    torch.testing.assert_close(one(maps), last.movedim(-1, 1))
    assert adapter._axis(maps) == 1
    assert adapter._axis(maps.movedim(1, -1)) == -1


def test_a_state_that_does_not_say_what_it_holds_is_refused() -> None:
    backbone = small.Small()
    assert carried(backbone, {"x": torch.zeros(2, 3), "mask": torch.ones(2, 3) > 0}) == "x"
    with pytest.raises(ContractError, match="does not"):
        carried(backbone, {"x": torch.zeros(2, 3), "y": torch.zeros(2, 3)})


# Prompts.


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_patches_read_tokens_in_front(library: str, deep: bool) -> None:
    strategy = prompt.Strategy(prompt.Settings(tokens=3, deep=deep))
    backbone, inputs = vit(library), pictures()
    before = {n: t.clone() for n, t in backbone.state_dict().items()}
    assert strategy.refuse(headed(backbone)) == ""
    plain = backbone.run(inputs)
    made = prepared(strategy, backbone, inputs)
    state = made.backbone.run(inputs)
    assert state["tokens"].shape == plain["tokens"].shape
    assert len(made.backbone.prompts) == (3 if deep else 1)
    made(inputs, want="features").square().sum().backward()
    grad = made.backbone.prompts.grad
    assert grad is not None and grad[0].abs().sum() > 0
    assert not deep or grad[1].abs().sum() > 0
    assert not torch.allclose(made.backbone.pool(state), backbone.pool(plain))
    assert all(torch.equal(made.backbone.state_dict()[n], t) for n, t in before.items())


@pytest.mark.parametrize("make", [tiny.loaded, tiny.onward])
@pytest.mark.parametrize("deep", [True, False])
def test_a_text_reads_the_same_in_company_in_windows_and_from_a_kept_state(
    make: Any, deep: bool
) -> None:
    strategy = prompt.Strategy(prompt.Settings(tokens=3, deep=deep))
    inputs = words([9, 5, 7])
    made = prepared(strategy, backbones.stage(make(0)), inputs)
    with torch.no_grad():
        made.backbone.prompts.normal_()
        whole = made.backbone.run(inputs)
        assert torch.equal(whole["mask"], inputs["mask"])
        for row, length in enumerate((9, 5, 7)):
            alone = {n: t[row : row + 1, :length] for n, t in inputs.items()}
            torch.testing.assert_close(
                made.backbone.run(alone)["hidden"][0], whole["hidden"][row, :length]
            )
        for cut in (1, 2):
            kept = made.backbone.run(inputs, 0, cut)
            again = made.backbone.run(kept, cut)
            torch.testing.assert_close(again["hidden"], whole["hidden"])
        cut = {**words([9, 5], [[4, 5], [5]])}
        found = made.backbone.run(cut)
        assert torch.equal(found["mask"], cut["mask"])
        assert torch.equal(found["windows"], cut["windows"])
        for row, begin, end in ((0, 0, 4), (0, 4, 9), (1, 0, 5)):
            piece = {n: cut[n][row : row + 1, begin:end] for n in ("ids", "mask")}
            alone = made.backbone.run(piece)["hidden"][0]
            torch.testing.assert_close(found["hidden"][row, begin:end], alone)


def test_tokens_begin_as_what_training_rows_are_read_as() -> None:
    inputs = words([6, 6])
    backbone = backbones.stage(tiny.loaded(0))
    made = prepared(prompt.Strategy(prompt.Settings(tokens=4)), backbone, inputs)
    fresh = backbones.stage(tiny.loaded(0))
    with torch.no_grad():
        known = fresh.run(inputs, 0, 1)["hidden"].flatten(0, 1)
    near = torch.cdist(made.backbone.prompts[0].detach(), known).min(1).values
    assert float(near.max()) < 1e-5


def test_networks_without_tokens_are_refused_with_what_would_serve() -> None:
    strategy = prompt.Strategy(prompt.Settings())
    why = strategy.refuse(small.network())
    assert "transformer" in why and "lora" in why
