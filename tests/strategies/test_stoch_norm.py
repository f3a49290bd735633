"""Some channels of a batch norm by the batch, the others by what is stored; plain again afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headstart.strategies import stoch_norm
from tests.strategies import case


def normed(share: float, values: torch.Tensor) -> tuple[nn.BatchNorm1d, torch.Tensor]:
    layer = nn.BatchNorm1d(values.shape[1], momentum=0.0)
    with torch.no_grad():
        layer.running_mean.fill_(2.0)  # type: ignore[union-attr]
        layer.running_var.fill_(9.0)  # type: ignore[union-attr]
        layer.weight.fill_(1.5)
        layer.bias.fill_(-1.0)
    layer.register_forward_hook(stoch_norm.Drawn(share))
    torch.manual_seed(0)
    return layer, layer(values)


@pytest.mark.parametrize("shape", [(8, 200), (8, 200, 3)])
def test_each_channel_is_wholly_of_one_kind(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    _, found = normed(0.3, values)
    x, axes = values.numpy(), (0, 2)[: len(shape) - 1]
    batch = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    stored = (x - 2) / np.sqrt(9 + 1e-5)
    made = found.detach().numpy()

    def is_like(kind: np.ndarray) -> np.ndarray:
        return np.asarray(np.isclose(made, 1.5 * kind - 1, atol=1e-4).all(axis=axes))

    assert (is_like(batch) ^ is_like(stored)).all()
    assert 0.2 < is_like(batch).mean() < 0.4  # 200 channels, share 0.3


def test_a_share_of_one_is_plain_batch_norm() -> None:
    values = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    layer, found = normed(1.0, values)
    assert layer.training
    plain = nn.functional.batch_norm(values, None, None, layer.weight, layer.bias, training=True)
    assert torch.allclose(found, plain, atol=1e-6)


def test_in_eval_mode_nothing_is_drawn() -> None:
    values = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    layer, _ = normed(0.5, values)
    state = torch.get_rng_state()
    stored = 1.5 * (values - 2) / np.sqrt(9 + 1e-5) - 1
    assert torch.allclose(layer.eval()(values), stored, atol=1e-5)
    assert torch.equal(state, torch.get_rng_state())


def test_a_trained_network_says_the_same_without_the_strategy() -> None:
    network = case.network()
    case.train(case.strategy("stoch_norm"), network)
    fresh = case.network()
    fresh.load_state_dict(network.state_dict())
    inputs = case.batch().inputs
    with torch.no_grad():
        assert torch.equal(network(inputs)["classify"], fresh(inputs)["classify"])


def test_it_trains_otherwise_than_batch_norm_does() -> None:
    some, all_of_it = case.network(), case.network()
    case.train(case.strategy("stoch_norm", share=0.5), some)
    case.train(case.strategy("stoch_norm", share=1.0), all_of_it)
    assert case.same(case.tensors(some), case.tensors(all_of_it))
