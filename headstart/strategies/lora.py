"""Low-rank updates of linear and convolution weights, merged into them at the end: LoRA.

Hu et al. 2021, arXiv:2106.09685: W + (alpha / r) B A with B = 0 at first. Kalajdzievski 2023,
arXiv:2312.03732 (rsLoRA): alpha / sqrt(r), so that a higher rank does not learn slower. Liu et al. 2024,
arXiv:2402.09353 (DoRA): length and direction of each row of W train apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from headstart.core.head import Dropout
from headstart.core.network import Backbone, Network
from headstart.errors import PlanError
from headstart.strategies._efficient import Efficient, Few
from headstart.strategies._tuning import above

CONVOLUTIONS: Mapping[type, Any] = {nn.Conv1d: functional.conv1d, nn.Conv2d: functional.conv2d}
TINY = 1e-12  # of a row's length, below which it has no direction


@dataclass(frozen=True)
class Settings(Few):
    """How wide the updates are, where, and how fast they learn.

    Attributes:
        rank: r; at most as many as a weight has rows or columns.
        alpha: the update counts alpha / rank.
        rslora: it counts alpha / sqrt(rank) instead.
        dora: the length of each row of a weight trains too, apart from its direction.
        modules: regular expression that a module's name must hold ("query|value"); "": all linear and
            convolution modules.
        dropout: on the features before the head, and on what the updates read.
    """

    rank: int = 8
    alpha: float = 16.0
    rslora: bool = False
    dora: bool = False
    modules: str = ""
    dropout: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        above(self, "rank", "alpha")
        try:
            re.compile(self.modules)
        except re.error as error:
            raise PlanError(
                f"lora.modules came as '{self.modules}', which is no regular expression ({error}). "
                "Expected one such as query|value."
            ) from error

    @property
    def scale(self) -> float:
        """What the update counts."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class Updated(nn.Module):
    """A linear or convolution module with a low-rank update of its weight beside it.

    The weight is read as a matrix (out, in x kernel). Plain modules run the update as two narrow ones, so
    that no gradient as large as the weight is made; grouped convolutions and kinds with a forward pass of
    their own run with the updated weight, without dropout. Whoever reads `weight` without calling the
    module, as fused attention does, gets the updated one.
    """

    def __init__(self, inner: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.inner = inner
        matrix = self._matrix()
        rows, columns = matrix.shape
        rank = min(settings.rank, rows, columns)
        self.down = nn.Parameter(
            torch.empty(rank, columns, dtype=matrix.dtype, device=matrix.device)
        )
        self.up = nn.Parameter(torch.zeros(rows, rank, dtype=matrix.dtype, device=matrix.device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.scale, self.dropout = settings.scale, Dropout(settings.dropout)
        self.size = nn.Parameter(matrix.norm(dim=1)) if settings.dora else None
        whole = isinstance(inner, nn.Linear) or (
            inner.groups == 1 and inner.padding_mode == "zeros"
        )
        self.plain = whole and type(inner) in (nn.Linear, *CONVOLUTIONS)
        self.train(inner.training)

    def __getattr__(self, name: str) -> Any:
        """What the module itself does not have is the inner one's: `bias`, `kernel_size` ..."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "inner":
                raise
            return getattr(self.inner, name)

    @property
    def weight(self) -> Tensor:
        """The updated weight, shaped as the inner one."""
        matrix = self._matrix() + self.scale * (self.up @ self.down)
        if self.size is not None:
            matrix = matrix * self._stretch()[:, None]
        return matrix.view_as(self.inner.weight)

    def _matrix(self) -> Tensor:
        """The inner weight, frozen, (out, in x kernel)."""
        weight: Tensor = self.inner.weight.detach()  # type: ignore[union-attr, operator]
        return weight.flatten(1)

    def _stretch(self) -> Tensor:
        """(out,) wanted length of each row by its own, which is taken for a constant as DoRA proposes
        (section 4.3): less memory, like scores."""
        with torch.no_grad():
            length = (self._matrix() + self.scale * (self.up @ self.down)).norm(dim=1)
        return self.size / length.clamp(min=TINY)  # type: ignore[operator, no-any-return]

    def forward(self, value: Tensor, *rest: Any, **named: Any) -> Tensor:
        if not self.plain:
            changed = {"weight": self.weight}
            made: Tensor = functional_call(self.inner, changed, (value, *rest), named)
            return made
        made = self.inner(value) + self.scale * self._update(self.dropout(value))
        if self.size is None:
            return made
        stretch, bias = self._stretch(), self.inner.bias
        if isinstance(self.inner, nn.Linear):
            return made * stretch if bias is None else (made - bias) * stretch + bias  # type: ignore[operator]
        shape = (-1, *[1] * (self.inner.weight.ndim - 2))  # type: ignore[union-attr, operator]
        stretch = stretch.view(shape)
        if bias is None:
            return made * stretch
        return (made - bias.view(shape)) * stretch + bias.view(shape)  # type: ignore[operator]

    def _update(self, value: Tensor) -> Tensor:
        """B A x."""
        inner: Any = self.inner
        if isinstance(inner, nn.Linear):
            return functional.linear(functional.linear(value, self.down), self.up)
        convolve = CONVOLUTIONS[type(inner)]
        down = self.down.view(-1, *inner.weight.shape[1:])
        up = self.up.view(*self.up.shape, *[1] * (inner.weight.ndim - 2))
        narrow = convolve(value, down, None, inner.stride, inner.padding, inner.dilation)
        made: Tensor = convolve(narrow, up)
        return made

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The inner module with the updated weight."""
        self.inner.weight.copy_(self.weight)  # type: ignore[union-attr, operator]
        return self.inner


class Strategy(Efficient):
    """The solved head, then head and low-rank updates together; `finish` merges the updates."""

    settings: Settings

    def lacking(self, network: Network) -> str:
        if _places(network.backbone, self.cut(network), self.settings.modules):
            return ""
        wanted = f" whose name holds '{self.settings.modules}'" if self.settings.modules else ""
        return (
            f"there is no linear or convolution module{wanted} to be wrapped above the cut. Use fine_tune, "
            "which trains a source's own weights, or linear_probe"
        )

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Puts an update beside every module that is asked for."""
        found = _places(network.backbone, self.cut(network), self.settings.modules)
        modules = {name: network.backbone.get_submodule(name) for name in found}
        _swap(network.backbone, {id(m): Updated(m, self.settings) for m in modules.values()})

    def trained(self, network: Network) -> tuple[str, ...]:
        """Both factors of every update, and the lengths of rows."""
        return tuple(
            f"{name}.{own}"
            for name, module in network.named_modules()
            if isinstance(module, Updated)
            for own, _ in module.named_parameters(recurse=False)
        )

    def finish(self, network: Network) -> Network:
        """Adds every update to its weight."""
        wrapped = [m for m in network.backbone.modules() if isinstance(m, Updated)]
        _swap(network.backbone, {id(module): module.merged() for module in wrapped})
        return network


def _places(backbone: Backbone, cut: int, pattern: str) -> list[str]:
    """Names of modules above the cut whose weight is a parameter of theirs alone."""
    owners: dict[int, set[int]] = {}
    for module in backbone.modules():
        for parameter in module._parameters.values():
            owners.setdefault(id(parameter), set()).add(id(module))
    found = []
    for name in backbone.adaptable():
        weight = backbone.get_submodule(name)._parameters.get("weight")
        alone = weight is not None and len(owners[id(weight)]) == 1
        if alone and backbone.stage_of(f"{name}.weight") >= cut and re.search(pattern, name):
            found.append(name)
    return found


def _swap(root: nn.Module, found: Mapping[int, nn.Module]) -> None:
    """Puts modules in the place of others, wherever these stand; by their identity."""
    for parent in list(root.modules()):
        for name, child in list(
            parent._modules.items()
        ):  # named_children() names one place of each
            if id(child) in found:
                setattr(parent, name, found[id(child)])
