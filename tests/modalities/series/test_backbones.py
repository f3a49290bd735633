"""Networks for series: companions, padding, frozen statistics, PatchTST from a folder, refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from headstart.core import staging
from headstart.core.dataset import Field
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities.series import _kernels, backbones, batch, network, read, tiny

A = Field("a", "bytes")


def transform(
    channels: int = 1, gaps: bool = False, lengths: tuple[int, ...] = (20, 31, 7), **asked: Any
) -> tuple[batch.Transform, dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
    """A fitted transform, a batch of three series of unequal length, and each alone."""
    rng = np.random.default_rng(0)
    cells = [rng.normal(size=(n, channels)).cumsum(0) for n in lengths]
    if gaps:
        cells[1][3:5] = np.nan
    rows = [{"a": read.load(c, A, Path("/"))} for c in cells]
    made = batch.make(asked, [A], rows)
    items = [made(r) for r in rows]
    return made, made.collate(items), [made.collate([i]) for i in items]


def formula(kind: str, **settings: Any) -> Loaded:
    source = dataclasses.replace(tiny.loaded(0).source, preprocessing=settings)
    return Loaded(source, nn.Identity(), {"architecture": kind, "seed": 0}, None)


@pytest.mark.parametrize("kind", ["random_convolutions", "encoder"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_row_says_the_same_alone_and_in_company(kind: str, channels: int, gaps: bool) -> None:
    made, inputs, alone = transform(channels, gaps)
    backbone = backbones.stage(formula(kind, kernels=40), made).eval()
    with torch.no_grad():
        together = backbone.pool(backbone.run(inputs))
        apart = torch.cat([backbone.pool(backbone.run(one)) for one in alone])
    assert together.shape == (3, backbone.width)
    assert torch.allclose(together, apart, atol=1e-5)


def each_channel() -> Loaded:
    """The encoder that reads each channel by itself, as a document beside weights asks for it."""
    told = backbones.build({"architecture": "encoder", "apart": 1, "width": 16, "blocks": 3})
    assert told is not None
    config = {"library": "headstart", "architecture": "encoder"}
    return Loaded(tiny.loaded(0).source, told[0](0), config, told[0])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("scale", ["each", "train"])
def test_channels_read_apart_say_the_same_alone_and_in_company(
    channels: int, gaps: bool, scale: str
) -> None:
    loaded = each_channel()
    made, inputs, alone = transform(channels, gaps, scale=scale)
    backbone = backbones.stage(loaded, made).eval()
    with torch.no_grad():
        staging.verify(backbone, backbones.reference(loaded, inputs), inputs)
        together = backbone.pool(backbone.run(inputs))
        apart = torch.cat([backbone.pool(backbone.run(one)) for one in alone])
        middle = backbone.pool(backbone.run(backbone.run(inputs, 0, 1), 1))
    assert together.shape == (3, backbone.width)
    assert torch.allclose(together, apart, atol=1e-5)
    assert torch.equal(together, middle)


def test_a_channel_read_apart_knows_nothing_of_the_others() -> None:
    made, inputs, _ = transform(3)
    backbone = backbones.stage(each_channel(), made).eval()
    other = {**inputs, "values": inputs["values"].clone()}
    other["values"][:, :, 2] += 1.0
    with torch.no_grad():
        before, after = (backbone.pool(backbone.run(one)) for one in (inputs, other))
    assert torch.allclose(before[:, :32], after[:, :32], atol=1e-6)
    assert not torch.allclose(before[:, 32:48], after[:, 32:48], atol=1e-3)


def test_an_encoder_of_channels_apart_is_described_as_it_is_built() -> None:
    made, _, _ = transform(3)
    backbone = backbones.stage(each_channel(), made)
    told = backbones.described(backbone)
    assert told is not None
    again = backbones.build(told[1])
    assert again is not None
    shapes = {n: t.shape for n, t in again[0](1).state_dict().items()}
    assert shapes == {n: t.shape for n, t in told[0].state_dict().items()}


def test_random_convolutions_follow_their_seed_and_the_data_s_shape() -> None:
    first = _kernels.draw(3, 200, kernels=30, seed=1)
    again = _kernels.draw(3, 200, kernels=30, seed=1)
    assert list(first) == [1, 2, 4, 8, 16]
    for dilation, (weight, bias) in first.items():
        assert np.array_equal(weight, again[dilation][0])
        assert weight.sum(2) == pytest.approx(0.0, abs=1e-6)
        assert (weight**2).sum((1, 2)) == pytest.approx(1.0)
        assert bias.shape == (_kernels.SHARES, 6)
    other = _kernels.draw(3, 200, kernels=30, seed=2)
    assert not np.array_equal(other[1][0], first[1][0])
    assert list(_kernels.draw(1, 1, kernels=3, seed=0)) == [1]


def test_constant_series_have_finite_features() -> None:
    made, _, _ = transform()
    backbone = backbones.stage(formula("random_convolutions", kernels=20), made)
    flat = made.collate([made({"a": read.load([3.0] * 12, A, Path("/"))})])
    assert bool(torch.isfinite(backbone.pool(backbone.run(flat))).all())


def test_the_encoder_can_be_trained_although_it_was_staged_without_gradients() -> None:
    made, inputs, _ = transform()
    with torch.inference_mode():
        backbone = backbones.stage(formula("encoder"), made)
    backbone.requires_grad_(True)
    pooled = backbone.pool(backbone.run(inputs))
    assert pooled.requires_grad


def test_padding_moves_no_statistics() -> None:
    norm, plain = network.MaskedNorm(2), nn.BatchNorm1d(2)
    values = torch.randn(3, 2, 6, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([values, torch.full((3, 2, 4), 9.0)], 2)
    mask = (torch.arange(10) < 6).float().expand(3, 1, 10)
    found = norm(padded, mask)[:, :, :6]
    assert torch.allclose(found, plain(values), atol=1e-5)
    assert torch.allclose(norm.running_mean, plain.running_mean)  # type: ignore[arg-type]
    assert torch.allclose(norm.running_var, plain.running_var)  # type: ignore[arg-type]
    norm.eval()
    before = norm.running_mean.clone()  # type: ignore[union-attr, operator]
    norm(padded, mask)
    assert torch.equal(norm.running_mean, before)  # type: ignore[arg-type]


def patchtst(folder: Path, **changed: Any) -> Path:
    transformers = pytest.importorskip("transformers")
    config = transformers.PatchTSTConfig(
        **{
            "num_input_channels": 1,
            "context_length": 24,
            "patch_length": 6,
            "patch_stride": 4,
            "d_model": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 32,
            "do_mask_input": True,
            **changed,
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.PatchTSTModel(config).eval().save_pretrained(folder)
    return folder


def opened(folder: Path) -> Loaded:
    from headstart.core import plugins

    made: Loaded = plugins.load("provider", "hf").open(str(folder), {}, offline=True)
    return made


@pytest.mark.parametrize(
    ("changed", "channels"),
    [
        ({}, 1),
        ({}, 3),
        ({"num_input_channels": 2}, 3),
        ({"use_cls_token": True}, 2),
        ({"norm_type": "layernorm", "pre_norm": False, "scaling": None}, 2),
        ({"num_input_channels": 2, "channel_attention": True}, 2),
        ({"num_input_channels": 2, "share_embedding": False}, 2),
    ],
)
def test_patchtst_is_staged_as_it_is(tmp_path: Path, changed: Any, channels: int) -> None:
    loaded = opened(patchtst(tmp_path, **changed))
    made, inputs, alone = transform(channels, gaps=True, **loaded.source.preprocessing)
    backbone = backbones.stage(loaded, made).eval()
    assert inputs["values"].shape == (3, 24, channels)
    staging.verify(backbone, backbones.reference(loaded, inputs), inputs)
    with torch.no_grad():
        together = backbone.pool(backbone.run(inputs))
        apart = torch.cat([backbone.pool(backbone.run(one)) for one in alone])
    assert torch.allclose(together, apart, atol=1e-5)
    for name, _ in backbone.named_parameters():
        expected = int(name.split(".")[3]) + 1 if ".layers." in name else 0
        assert backbone.stage_of(name) == expected


def test_patchtst_has_a_twin_of_its_own_shape(tmp_path: Path) -> None:
    loaded = opened(patchtst(tmp_path))
    made, inputs, _ = transform(2, **loaded.source.preprocessing)
    assert loaded.rebuild is not None
    twin = dataclasses.replace(loaded, module=loaded.rebuild(3))
    backbone = backbones.stage(twin, made).eval()
    with torch.no_grad():
        assert backbone.pool(backbone.run(inputs)).shape == (3, 32)


@pytest.mark.parametrize("changed", [{"channel_attention": True}, {"share_embedding": False}])
def test_a_network_bound_to_its_channels_refuses_others(tmp_path: Path, changed: Any) -> None:
    loaded = opened(patchtst(tmp_path, num_input_channels=2, **changed))
    made, _, _ = transform(3, **loaded.source.preprocessing)
    with pytest.raises(SourceError, match="reads 2 channels; the data have 3"):
        backbones.stage(loaded, made)


def test_networks_of_other_data_and_other_channels_are_refused() -> None:
    made, _, _ = transform(2)
    with pytest.raises(SourceError, match="cannot read series"):
        backbones.stage(formula("resnet"), made)
    with pytest.raises(SourceError, match="reads 7 columns; the data give 6"):
        backbones.stage(tiny.loaded(0), made)
