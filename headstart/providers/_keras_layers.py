"""Layers of Keras as modules of torch, with the channels first: same weights, same results.

Keras pads "same" unevenly where it has to (more at the end), flattens with the channels last, and counts in
batch normalisation the share that is kept; all of that is followed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Unknown(Exception):
    """A layer that has no counterpart here; its text names it."""


class Act(nn.Module):
    """A function without weights, by its name in Keras."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, value: Tensor) -> Tensor:
        return _ACTIVATIONS[self.name](value)

    def extra_repr(self) -> str:
        return self.name


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "swish": F.silu,
    "hard_silu": F.hardswish,
    "hard_swish": F.hardswish,
    "hard_sigmoid": lambda x: F.relu6(x + 3.0) / 6.0,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "softmax": lambda x: torch.softmax(x, 1),
}


class Same(nn.Module):
    """Padding as Keras' "same" has it, before a convolution or a pooling."""

    def __init__(self, inner: nn.Module, size: Any, stride: Any, dilation: Any, mode: str) -> None:
        super().__init__()
        self.inner = inner
        self.size, self.stride, self.dilation, self.mode = size, stride, dilation, mode

    def forward(self, value: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):  # the last axis first
            length = int(value.shape[2 + axis])
            reach = (self.size[axis] - 1) * self.dilation[axis] + 1
            total = max(
                (-(-length // self.stride[axis]) - 1) * self.stride[axis] + reach - length, 0
            )
            pads += [total // 2, total - total // 2]
        if any(pads) and self.mode == "average" and pads[0::2] == pads[1::2]:
            return F.avg_pool2d(
                value, self.size, self.stride, (pads[2], pads[0]), count_include_pad=False
            )
        if any(pads):
            mode = "constant" if self.mode == "constant" else "replicate"
            value = F.pad(value, pads, mode)
        made: Tensor = self.inner(value)
        return made


class Fold(nn.Module):
    """A function of one or several tensors that has no weights."""

    def __init__(self, function: Callable[..., Tensor], told: str) -> None:
        super().__init__()
        self.function, self.told = function, told

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values)

    def extra_repr(self) -> str:
        return self.told


class Affine(nn.Module):
    """value * scale + offset, both fixed, a number or one a channel."""

    scale: Tensor
    offset: Tensor

    def __init__(self, scale: Any, offset: Any) -> None:
        super().__init__()
        for name, given in (("scale", scale), ("offset", offset)):
            array = np.asarray(given, np.float32).reshape(-1)
            self.register_buffer(name, torch.from_numpy(array.copy()).reshape(1, -1, 1, 1))

    def forward(self, value: Tensor) -> Tensor:
        return value * self.scale + self.offset


class Gamma(nn.Module):
    """A learned factor a channel (the layer scale of ConvNeXt)."""

    def __init__(self, gamma: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(gamma.copy()))

    def forward(self, value: Tensor) -> Tensor:
        return value * self.weight.reshape(1, -1, *[1] * (value.ndim - 2))


class Channels(nn.Module):
    """A layer over the last axis, of maps (N, C, h, w) or of features (N, C)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, value: Tensor) -> Tensor:
        if value.ndim == 2:
            made: Tensor = self.inner(value)
            return made
        return _first(self.inner(_last(value)))


def _last(value: Tensor) -> Tensor:
    """Channels to the end."""
    return value.permute(0, 2, 3, 1) if value.ndim == 4 else value


def _first(value: Tensor) -> Tensor:
    """Channels to the front."""
    return value.permute(0, 3, 1, 2) if value.ndim == 4 else value


def array(variable: Any) -> np.ndarray:
    """A variable of Keras, or anything that holds numbers, as float32."""
    held = variable.numpy() if hasattr(variable, "numpy") else variable
    return np.array(held, np.float32)


def _tensor(variable: Any) -> Tensor:
    return torch.from_numpy(array(variable))


def _fill(module: nn.Module, **given: Any) -> None:
    with torch.no_grad():
        for name, value in given.items():
            if value is not None:
                getattr(module, name).copy_(value)


def _activated(layer: Any, module: nn.Module) -> nn.Module:
    act = _activation(layer.activation)
    return module if act.name == "linear" else nn.Sequential(module, act)


def _activation(function: Any) -> Act:
    name = getattr(function, "__name__", str(function))
    if name not in _ACTIVATIONS:
        raise Unknown(f"the activation '{name}'")
    return Act(name)


def _last_only(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise Unknown(f"{type(layer).__name__} with the channels first")


def _padded(layer: Any, module: nn.Module, size: Any, mode: str = "constant") -> nn.Module:
    if layer.padding == "valid":
        return module
    if layer.padding != "same":
        raise Unknown(f"the padding '{layer.padding}'")
    dilation = getattr(layer, "dilation_rate", (1, 1)) if mode == "constant" else (1, 1)
    return Same(module, tuple(size), tuple(layer.strides), tuple(dilation), mode)


def _conv(layer: Any) -> nn.Module:
    kernel = _tensor(layer.kernel)  # (kh, kw, in / groups, out)
    made = nn.Conv2d(
        kernel.shape[2] * layer.groups,
        kernel.shape[3],
        tuple(layer.kernel_size),
        tuple(layer.strides),
        dilation=tuple(layer.dilation_rate),
        groups=layer.groups,
        bias=layer.use_bias,
    )
    _fill(made, weight=kernel.permute(3, 2, 0, 1), bias=_bias(layer))
    return _activated(layer, _padded(layer, made, layer.kernel_size))


def _bias(layer: Any) -> Tensor | None:
    return _tensor(layer.bias) if layer.use_bias else None


def _depthwise(layer: Any) -> nn.Module:
    made = _depthwise_of(layer, _tensor(layer.kernel), bias=layer.use_bias)
    _fill(made, bias=_bias(layer))
    return _activated(layer, _padded(layer, made, layer.kernel_size))


def _depthwise_of(layer: Any, kernel: Tensor, *, bias: bool) -> nn.Conv2d:
    """From a kernel (kh, kw, in, multiplier)."""
    high, wide, channels, times = kernel.shape
    made = nn.Conv2d(
        channels,
        channels * times,
        (high, wide),
        tuple(layer.strides),
        dilation=tuple(layer.dilation_rate),
        groups=channels,
        bias=bias,
    )
    _fill(made, weight=kernel.permute(2, 3, 0, 1).reshape(channels * times, 1, high, wide))
    return made


def _separable(layer: Any) -> nn.Module:
    depth = _depthwise_of(layer, _tensor(layer.depthwise_kernel), bias=False)
    point = _tensor(layer.pointwise_kernel)
    whole = nn.Conv2d(point.shape[2], point.shape[3], 1, bias=layer.use_bias)
    _fill(whole, weight=point.permute(3, 2, 0, 1), bias=_bias(layer))
    return _activated(layer, nn.Sequential(_padded(layer, depth, layer.kernel_size), whole))


def _dense(layer: Any) -> nn.Module:
    kernel = _tensor(layer.kernel)  # (in, out)
    made = nn.Linear(kernel.shape[0], kernel.shape[1], bias=layer.use_bias)
    _fill(made, weight=kernel.T, bias=_bias(layer))
    return _activated(layer, Channels(made))


def _batch_norm(layer: Any) -> nn.Module:
    if layer.axis not in (-1, 3, [-1], [3]):
        raise Unknown(f"batch normalisation over the axis {layer.axis}")
    mean = _tensor(layer.moving_mean)
    made = nn.BatchNorm2d(len(mean), layer.epsilon, 1.0 - layer.momentum)
    gamma = _tensor(layer.gamma) if layer.scale else None
    beta = _tensor(layer.beta) if layer.center else None
    spread = _tensor(layer.moving_variance)
    _fill(made, weight=gamma, bias=beta, running_mean=mean, running_var=spread)
    return made


def _layer_norm(layer: Any) -> nn.Module:
    if layer.axis not in (-1, 3, [-1], [3]) or not (layer.scale and layer.center):
        raise Unknown(f"layer normalisation over the axis {layer.axis}")
    gamma = _tensor(layer.gamma)
    made = nn.LayerNorm(len(gamma), layer.epsilon)
    _fill(made, weight=gamma, bias=_tensor(layer.beta))
    return Channels(made)


def _pool(kind: Callable[..., nn.Module], mode: str) -> Callable[[Any], nn.Module]:
    def make(layer: Any) -> nn.Module:
        size = tuple(layer.pool_size)
        return _padded(layer, kind(size, tuple(layer.strides)), size, mode)

    return make


def _everywhere(function: Callable[..., Any]) -> Callable[[Any], nn.Module]:
    """Pooling over all places; with `keepdims` they become one."""

    def make(layer: Any) -> nn.Module:
        keep = bool(layer.keepdims)
        return Fold(lambda x: function(x, dim=(2, 3), keepdim=keep), "over all places")

    return make


def _relu(layer: Any) -> nn.Module:
    if layer.threshold or layer.negative_slope:
        slope = float(layer.negative_slope)
        if layer.threshold or layer.max_value is not None:
            raise Unknown("a ReLU with a threshold")
        return nn.LeakyReLU(slope)
    top = layer.max_value
    return nn.ReLU() if top is None else nn.Hardtanh(0.0, float(top))


def _zeros(layer: Any) -> nn.Module:
    (top, bottom), (left, right) = layer.padding
    return nn.ZeroPad2d((left, right, top, bottom))


def _crop(layer: Any) -> nn.Module:
    (top, bottom), (left, right) = layer.cropping
    return nn.ZeroPad2d((-left, -right, -top, -bottom))


def _axis(axis: int) -> int:
    """An axis of (N, h, w, C) as one of (N, C, h, w); of (N, C) it is 1 in both."""
    return {1: 2, 2: 3, 3: 1, -1: 1}[axis]


def _concatenate(layer: Any) -> nn.Module:
    axis = int(layer.axis)

    def join(*values: Tensor) -> Tensor:
        return torch.cat(values, _axis(axis) if values[0].ndim == 4 else 1)

    return Fold(join, f"joined along {axis}")


def _reshape(layer: Any) -> nn.Module:
    shape = tuple(layer.target_shape)
    return Fold(lambda x: _first(_last(x).reshape(len(x), *shape)), f"to {shape}")


def _flatten(layer: Any) -> nn.Module:
    return Fold(lambda x: _last(x).reshape(len(x), -1), "flat")


def _added(layer: Any) -> nn.Module:
    return Fold(lambda *v: sum(v[1:], v[0]), "sum")


def _times(layer: Any) -> nn.Module:
    return Fold(lambda a, *v: _product(a, v), "product")


def _product(first: Tensor, others: Sequence[Tensor]) -> Tensor:
    for other in others:
        first = first * other
    return first


def _scaled(layer: Any) -> nn.Module:
    scale = float(layer.scale)
    return Fold(lambda a, b: a + b * scale, f"sum, the second times {scale:g}")


def _normalised(layer: Any) -> nn.Module:
    """Fixed statistics: (x - mean) / max(deviation, epsilon of Keras)."""
    if layer.invert or layer.axis not in (-1, 3, (-1,), (3,), [-1], [3]):
        raise Unknown("an unusual Normalization")
    mean = array(layer.mean).reshape(-1)
    deviation = np.maximum(np.sqrt(array(layer.variance).reshape(-1)), 1e-7)
    return Affine(1.0 / deviation, -mean / deviation)


def _nothing(layer: Any) -> nn.Module:
    return nn.Identity()


_MAKERS: dict[str, Callable[[Any], nn.Module]] = {
    "Activation": lambda layer: _activation(layer.activation),
    "Add": _added,
    "AveragePooling2D": _pool(nn.AvgPool2d, "average"),
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Conv2D": _conv,
    "Cropping2D": _crop,
    "CustomScaleLayer": _scaled,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": lambda layer: nn.Dropout(float(layer.rate)),
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _everywhere(torch.mean),
    "GlobalMaxPooling2D": _everywhere(torch.amax),
    "Identity": _nothing,
    "LayerNormalization": _layer_norm,
    "LayerScale": lambda layer: Gamma(array(layer.gamma)),
    "MaxPooling2D": _pool(nn.MaxPool2d, "largest"),
    "Multiply": _times,
    "Normalization": _normalised,
    "ReLU": _relu,
    "Rescaling": lambda layer: Affine(layer.scale, layer.offset),
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Sequential": lambda layer: nn.Sequential(*(translate(one) for one in layer.layers)),
    "Softmax": lambda layer: Act("softmax"),
    "SpatialDropout2D": lambda layer: nn.Dropout2d(float(layer.rate)),
    "StochasticDepth": _nothing,  # rows are dropped in the source's own training only
    "ZeroPadding2D": _zeros,
}


def translate(layer: Any) -> nn.Module:
    """The module for one layer, its weights copied, in eval mode. Raises Unknown."""
    kind = type(layer).__name__
    if kind not in _MAKERS:
        raise Unknown(f"the layer '{layer.name}' of the kind {kind}")
    _last_only(layer)
    return _MAKERS[kind](layer).eval()


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "Divide": lambda a, b: a / b,
    "TrueDivide": lambda a, b: a / b,
}


def operation(name: str, constants: Sequence[Any]) -> nn.Module:
    """The module for plain arithmetic in a graph: two arguments, None where a tensor goes. Raises Unknown."""
    numbers = [c for c in constants if c is not None]
    if name not in _OPERATIONS or len(constants) != 2 or any(np.ndim(n) for n in numbers):
        raise Unknown(f"the operation {name}")
    function = _OPERATIONS[name]

    def run(*values: Tensor) -> Tensor:
        left = iter(values)
        a, b = (next(left) if c is None else float(c) for c in constants)
        made: Tensor = function(a, b)
        return made

    return Fold(run, f"{name} {numbers or ''}")
