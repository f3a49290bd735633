"""What reads a network's features, and how it is taken off: when a source is staged, and when a network is
built anew for weights that were written without it."""

from __future__ import annotations

from typing import Any

from torch import nn

from headstart.errors import SourceError


def reads(part: nn.Module) -> int:
    """Features per sample that a classifier reads: of a matrix, or of the first convolution in a row of
    layers; 0 for any other module."""
    if isinstance(part, nn.Linear):
        return part.in_features
    row = part if isinstance(part, nn.Sequential) else ()
    return next((m.in_channels for m in row if isinstance(m, nn.Conv2d)), 0)


def take_off(net: Any, path: str) -> nn.Module:
    """Puts `nn.Identity` in the place of the classifier and hands it back. The network keeps where it was
    (`without`) and how many features it read (`feature_width`).

    Raises:
        SourceError: no classifier stands there.
    """
    try:
        part: nn.Module = net.get_submodule(path) if path else net
    except AttributeError:
        part = net
    if part is net or not reads(part):
        raise SourceError(
            f"{type(net).__name__} has no classifier at '{path}'. Expected the path of the linear layer that "
            "reads its features."
        )
    net.feature_width, net.without = reads(part), path
    net.set_submodule(path, nn.Identity())
    return part
