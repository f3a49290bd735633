"""The source's network as it was, beside the one that trains."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from headstart.core.network import Network


class Apart(nn.Module):
    """A frozen copy of a network in eval mode. It moves between devices with whatever holds it, but no
    checkpoint does: it follows from the source, and is copied anew when a training goes on.

    Attributes:
        network: the copy.
    """

    network: Network

    def __init__(self, network: Network) -> None:
        super().__init__()
        held = copy.deepcopy(network).requires_grad_(False).eval()
        object.__setattr__(self, "network", held)  # a registered module would go into checkpoints

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.network._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
