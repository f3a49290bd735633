"""Networks that a provider wrote down as a graph of layers, and those that it can only run whole."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from headstart.core import classifier
from headstart.modalities import _frozen, _layouts
from headstart.modalities._layouts import Layout, Plan


def layout(net: Any) -> Layout:
    """The stages that the graph tells of; one for a network that is run whole."""
    if not hasattr(net, "parts"):
        return _frozen.layout(net)
    plan: Plan = [
        (name, tuple(f"layers.{layer}" for layer in owned), _part(place))
        for place, (name, owned) in enumerate(net.parts)
    ]
    return Layout(
        plan=plan,
        key="maps",
        pooled=lambda net, value: _layouts.flat(value),
        width=_width(net),
        whole=lambda net, pixels: _layouts.read_by(net, "head", pixels),
        head="head",
    )


def _part(place: int) -> _layouts.Step:
    def run(net: Any, value: Tensor) -> Tensor:
        made: Tensor = net.run_part(place, value)
        return made if made.ndim > 2 else made[..., None, None]

    return run


def _width(net: Any) -> int:
    """Features per sample; the network keeps them when its classifier is taken off."""
    return int(classifier.reads(net.head) or net.feature_width)
