"""Stored statistics of batch norms are means over an epoch; whoever runs on keeps its running means."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.engine import norms

SIZES = (8, 8, 3)


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, 4, generator=generator) + step for step, size in enumerate(SIZES)]


def passed(layer: nn.Module, running: bool = False) -> None:
    with norms.restarted(layer, running):
        for values in batches():
            layer(values)


def test_what_is_stored_is_the_mean_over_the_epochs_rows_and_nothing_before() -> None:
    layer = nn.BatchNorm1d(4)
    with torch.no_grad():
        layer.running_mean.fill_(1e6)  # type: ignore[union-attr]
    passed(layer)
    assert torch.allclose(layer.running_mean, torch.cat(batches()).mean(0), atol=1e-5)  # type: ignore[arg-type]
    assert layer.momentum == 0.1


def test_a_small_last_batch_counts_by_its_rows_but_never_less_than_the_layers_own_share() -> None:
    layer = nn.BatchNorm1d(4, momentum=0.5)
    passed(layer)
    first, second, third = (values.mean(0) for values in batches())
    expected = (first + second) / 4 + third / 2
    assert torch.allclose(layer.running_mean, expected, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["running", "frozen", "cumulative"])
def test_layers_that_are_not_restarted_store_what_they_would(kind: str) -> None:
    momentum = None if kind == "cumulative" else 0.1
    layer, other = nn.BatchNorm1d(4, momentum=momentum), nn.BatchNorm1d(4, momentum=momentum)
    if kind == "frozen":
        layer.eval(), other.eval()
    passed(layer, running=kind == "running")
    for values in batches():
        other(values)
    assert torch.equal(layer.running_mean, other.running_mean)  # type: ignore[arg-type]
    assert layer.momentum == momentum


def test_the_layers_own_momentum_is_back_when_an_epoch_fails() -> None:
    layer = nn.BatchNorm1d(4)
    with pytest.raises(RuntimeError), norms.restarted(layer):
        layer(batches()[0])
        raise RuntimeError
    assert layer.momentum == 0.1 and not layer._forward_pre_hooks


def test_two_streams_of_a_step_count_alike() -> None:
    """A strategy may send other rows through the network after the training rows, as replay does."""
    layer, (first, second, _) = nn.BatchNorm1d(4), batches()
    with norms.restarted(layer):
        layer(first), layer(second)
    assert torch.allclose(layer.running_mean, (first.mean(0) + second.mean(0)) / 2, atol=1e-5)  # type: ignore[arg-type]
