"""Frozen means bit-identical, and a drift is an error that names the tensor."""

from __future__ import annotations

import pytest
import torch

from headstart.core.strategy import Group, Phase
from headstart.engine.freeze import frozen
from headstart.errors import ContractError, FrozenDrift
from tests.engine import small

HEAD = Group("head", ("heads.classify.linear.weight", "heads.classify.linear.bias"))
LAST = Group("last", ("backbone.last.1.weight", "backbone.last.1.bias"))


def phase(*groups: Group) -> Phase:
    return Phase("test", groups, cut=2)


def test_train_cannot_move_frozen_statistics() -> None:
    network = small.network()
    before = network.backbone.norm.running_mean.clone()
    with frozen(network, phase(HEAD)):
        network.train()
        network.backbone.train()
        network({"x": torch.randn(8, 4)})
    assert torch.equal(before, network.backbone.norm.running_mean)


def test_planted_drift_names_the_buffer() -> None:
    network = small.network()
    with pytest.raises(FrozenDrift, match=r"backbone\.norm\.num_batches_tracked"):
        with frozen(network, phase(HEAD)):
            network.backbone.norm.train()  # what many a trainer does
            network({"x": torch.randn(8, 4)})


def test_a_frozen_weight_that_moves_is_found() -> None:
    network = small.network()
    with pytest.raises(FrozenDrift, match=r"backbone\.first\.weight"):
        with frozen(network, phase(HEAD, LAST)), torch.no_grad():
            network.backbone.first.weight[0, 0] += 1e-7


def test_only_what_is_named_trains_and_is_in_training_mode() -> None:
    network = small.network(dropout=0.5)
    with frozen(network, phase(HEAD, LAST)):
        trains = {name for name, p in network.named_parameters() if p.requires_grad}
        assert trains == {*HEAD.parameters, *LAST.parameters}
        assert network.backbone.last[0].training
        assert not network.backbone.norm.training
        assert not network.backbone.first.training


def test_named_statistics_may_move() -> None:
    network = small.network()
    moving = Group(
        "norm",
        ("backbone.norm.weight", "backbone.norm.bias"),
        buffers=(
            "backbone.norm.running_mean",
            "backbone.norm.running_var",
            "backbone.norm.num_batches_tracked",
        ),
    )
    before = network.backbone.norm.running_mean.clone()
    with frozen(network, phase(moving)):
        network({"x": torch.randn(8, 4)})
    assert not torch.equal(before, network.backbone.norm.running_mean)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    wrong = Group("head", ("heads.classify.linear.wieght",))
    with pytest.raises(ContractError, match=r"heads\.classify\.linear\.weight"):
        with frozen(small.network(), phase(wrong)):
            pass
