"""A Keras model written down in layers of torch, or run whole where a layer is not known.

Imported by `providers/keras.py` alone, which has chosen Keras' backend before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import torch
from torch import Tensor, nn

from headstart.core import digest
from headstart.providers import _keras_layers as layers
from headstart.providers._graph import Graph, Node

TOLERANCE = 1e-4
"""Largest difference from Keras' own result, relative to the largest value."""
PROBE = 2  # pictures of random pixels on which both are compared


class Whole(nn.Module):
    """A model with a layer that is not known here, run by Keras; (N, 3, H, W) -> (N, width).

    Attributes:
        frozen: why nothing in it can be trained.
    """

    fingerprint: Tensor

    def __init__(self, model: Any, why: str, flip: bool) -> None:
        super().__init__()
        self._model = [model]  # in a list: its tensors are no parameters of ours
        self.flip = flip
        self.frozen = f"it runs in Keras as one frozen stage, as {why} is not known here"
        self.frozen_parameters = int(model.count_params())
        named = [(f"{i}", torch.from_numpy(layers.array(w))) for i, w in enumerate(model.weights)]
        told = digest.tensors(named) + digest.value(model.to_json())
        self.register_buffer("fingerprint", torch.tensor(list(told.encode()), dtype=torch.uint8))

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        value = pixels.flip(1) if self.flip else pixels
        with keras.device("cpu"):
            made = self._model[0](value.float().cpu().permute(0, 2, 3, 1), training=False)
        if made.ndim == 4:
            made = made.mean((1, 2))
        return pixels.new_tensor(made.numpy()).flatten(1)

    def __deepcopy__(self, memo: Any) -> Whole:
        return self  # it never changes


def graph(model: Any, flip: bool) -> Graph:
    """A functional Keras model in layers of torch, up to what its classifier reads. Raises Unknown."""
    operations = _steps(model)
    modules: dict[str, nn.Module] = {}
    nodes: list[Node] = []
    place = {id(model.inputs[0]): -1}
    for operation, node in operations:
        reads = tuple(place[id(t)] for t in node.arguments.keras_tensors)
        name = operation.name.replace(".", "_")
        if type(operation).__module__.startswith("keras.src.ops"):
            given = [None if _symbolic(a) else a for a in node.arguments.args]
            modules[name] = layers.operation(type(operation).__name__, given)
        elif name not in modules:
            modules[name] = layers.translate(operation)
        place[id(node.outputs[0])] = len(nodes)
        nodes.append(Node(name, reads))
    kept, head = _headless(nodes, modules)
    used = {n.layer for n in kept}
    made = Graph({n: m for n, m in modules.items() if n in used}, kept, head=head, flip=flip)
    made.feature_width = 0  # learned from the first pictures
    return made.eval()


def _symbolic(argument: Any) -> bool:
    return isinstance(argument, keras.KerasTensor)


def _steps(model: Any) -> list[tuple[Any, Any]]:
    """Operations with their nodes in the order of execution. Raises Unknown for what is no plain graph."""
    if isinstance(model, keras.Sequential):
        model = model._functional
    if not hasattr(model, "_nodes_by_depth") or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise layers.Unknown(f"a {type(model).__name__} with other than one input and one output")
    steps = []
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                steps.append((node.operation, node))
    return steps


def _headless(
    nodes: list[Node], modules: Mapping[str, nn.Module]
) -> tuple[list[Node], nn.Module | None]:
    """The nodes up to the features, and the classifier that reads them, where there is one.

    A classifier is a matrix, or a convolution of size 1 over a single place, behind which nothing but
    reshaping and an activation follows.
    """
    at = len(nodes) - 1
    while at > 0 and isinstance(modules[nodes[at].layer], (layers.Act, layers.Fold)):
        if len(nodes[at].reads) != 1:
            return nodes, None
        at = nodes[at].reads[0]
    head = _classifier(modules[nodes[at].layer]) if at > 0 else None
    if head is None or len(nodes[at].reads) != 1:
        return nodes, None
    wanted, left = set(), [nodes[at].reads[0]]
    while left:
        here = left.pop()
        if here >= 0 and here not in wanted:
            wanted.add(here)
            left.extend(nodes[here].reads)
    order = sorted(wanted)
    numbers = {old: new for new, old in enumerate(order)} | {-1: -1}
    kept = [Node(nodes[o].layer, tuple(numbers[r] for r in nodes[o].reads)) for o in order]
    return kept, head


def _classifier(module: nn.Module) -> nn.Linear | None:
    """A module as a linear classifier, its activation left out."""
    inner = module[0] if isinstance(module, nn.Sequential) else module
    if isinstance(inner, layers.Channels) and isinstance(inner.inner, nn.Linear):
        return inner.inner
    if isinstance(inner, layers.Same):
        inner = inner.inner
    if not isinstance(inner, nn.Conv2d) or inner.kernel_size != (1, 1) or inner.groups != 1:
        return None
    if inner.bias is None or isinstance(module, nn.Sequential):
        return None
    made = nn.Linear(inner.in_channels, inner.out_channels)
    made.load_state_dict({"weight": inner.weight.flatten(1), "bias": inner.bias})
    return made


def compare(model: Any, module: Any, size: list[int], flip: bool) -> None:
    """Both on random pixels. Raises Unknown where they differ."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(PROBE, *size, generator=generator) * 2 - 1
    with torch.no_grad(), keras.device("cpu"):
        features = native(model, module)(pixels.flip(1) if flip else pixels)
        found = features_of(module, pixels)
    gap = float((features - found).abs().max())
    if not gap <= TOLERANCE * max(float(features.abs().max()), 1e-6):
        raise layers.Unknown(f"a layer whose result differs by {gap:.2g}")
    module.feature_width = int(found.shape[1])


def features_of(module: Any, pixels: Tensor) -> Tensor:
    """(N, width): what the classifier reads."""
    value = pixels
    for part in range(len(module.parts)):
        value = module.run_part(part, value)
    return value.flatten(2).mean(2) if value.ndim > 2 else value


def native(model: Any, module: Graph) -> Callable[[Tensor], Tensor]:
    """Keras' own computation of the features that `module` gives: (N, 3, H, W) in the network's order of
    channels -> (N, width)."""
    name = module.nodes[-1].layer
    step = next(s for s in _steps(model) if s[0].name.replace(".", "_") == name)
    inner = keras.Model(model.inputs, step[1].outputs[0])

    def run(pixels: Tensor) -> Tensor:
        made = inner(pixels.permute(0, 2, 3, 1), training=False)
        made = made.detach().cpu()
        return made.mean((1, 2)) if made.ndim == 4 else made.flatten(1)

    return run
