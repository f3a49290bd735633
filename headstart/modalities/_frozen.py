"""Networks that run outside torch: one stage, whose output is the features."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from headstart.modalities._layouts import Layout, flat


def layout(net: Any) -> Layout:
    """One stage; `net.frozen` says why it cannot be trained, `net.width` how wide its output is."""

    def run(net: Any, value: Tensor) -> Tensor:
        made: Tensor = net(value)
        return made[..., None, None]

    return Layout(
        plan=[("all", (), run)],
        key="maps",
        pooled=lambda net, value: flat(value),
        width=int(net.width),
        whole=lambda net, pixels: net(pixels),
        frozen=str(net.frozen),
    )
