"""How a network of a foreign library is cut into stages: what `_pictures` asks of each library's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Step = Callable[[Any, Tensor], Tensor]
# name of the stage, modules that it owns (prefixes), what it does
Plan = list[tuple[str, tuple[str, ...], Step]]


@dataclass(frozen=True)
class Layout:
    """One network.

    Attributes:
        plan: its stages.
        key: "maps" (N, C, h, w) or "tokens" (N, L, C): what the states hold.
        pooled: (network, state after the last stage) -> (N, width).
        width: features per sample.
        head: path of the classifier that reads the features; "" where there is none.
        whole: (network, pixels) -> (N, width), by the library's own forward pass.
        frozen: why it cannot be trained, see `core.network.Backbone`.
        attends: whether `tokens` stand batch first and attend to each other from stage 1 to the end.
    """

    plan: Plan
    key: str
    pooled: Step
    width: int
    whole: Step
    head: str = ""
    frozen: str = ""
    attends: bool = False


def module(name: str) -> Step:
    """The step that runs one module."""
    return lambda net, value: net.get_submodule(name)(value)


def chain(*names: str) -> Step:
    """The step that runs modules one after another."""

    def run(net: nn.Module, value: Tensor) -> Tensor:
        for name in names:
            value = net.get_submodule(name)(value)
        return value

    return run


def numbered(net: nn.Module, parent: str) -> Plan:
    """One stage a child."""
    names = [f"{parent}.{name}" for name, _ in net.get_submodule(parent).named_children()]
    return [(name, (name,), module(name)) for name in names]


def flat(features: Tensor) -> Tensor:
    """(N, C, ...) -> (N, width): what is left of places is averaged."""
    return features.flatten(2).mean(2) if features.ndim > 2 else features


def read_by(net: nn.Module, head: str, pixels: Tensor) -> Tensor:
    """(N, width): what the module `head` reads while the whole network runs as its library runs it."""
    seen: list[Tensor] = []
    handle = net.get_submodule(head).register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    try:
        net(pixels)
    finally:
        handle.remove()
    return flat(seen[-1])
