"""The frozen part as one module, and its states as rows: padding stripped, masks rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.network import FEATURES, Backbone

_BRIEF = ":bf16"  # such an array holds the upper half of float32 numbers, as uint16


class Trunk(nn.Module):
    """Inputs to pooled features (`cut` None) or to the state before stage `cut`.

    Attributes:
        backbone: in eval mode; shared with the caller, never changed.
    """

    def __init__(self, backbone: Backbone, cut: int | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.cut = cut
        self.training = False  # .eval() would reach into the shared backbone

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"features": (N, width)} or the state."""
        state = self.backbone.run(inputs, 0, self.cut)
        return {FEATURES: self.backbone.pool(state)} if self.cut is None else dict(state)


def to_rows(
    outputs: Mapping[str, Tensor], ragged: Mapping[str, str], brief: bool
) -> list[dict[str, np.ndarray]]:
    """Tensors with the batch first -> one mapping a sample, without padding and without masks.

    Args:
        ragged: names whose axis 1 is cut to the sample's true length -> names of their masks.
        brief: floating-point tensors are kept as bfloat16 (half the size), except pooled features.
    """
    held = {mask for mask in ragged.values() if mask in outputs}
    lengths = {mask: outputs[mask].sum(1).tolist() for mask in held}
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in outputs.items():
        if name in held:
            continue
        tensor = tensor.detach()
        if brief and name != FEATURES and tensor.is_floating_point():
            halves = tensor.to(torch.bfloat16).contiguous().view(torch.int16)
            arrays[name + _BRIEF] = halves.numpy().view(np.uint16)
        else:
            arrays[name] = tensor.numpy()
    cut = {name: lengths.get(ragged.get(name.removesuffix(_BRIEF), "")) for name in arrays}
    count = len(next(iter(arrays.values())))
    return [
        {name: a[i] if (n := cut[name]) is None else a[i, : n[i]] for name, a in arrays.items()}
        for i in range(count)
    ]


def to_batch(
    rows: Sequence[Mapping[str, np.ndarray]], ragged: Mapping[str, str]
) -> dict[str, Tensor]:
    """Rows of some samples -> tensors with the batch first; ragged ones padded with zeros at the end,
    their masks (N, L) bool true at real places."""
    batch: dict[str, Tensor] = {}
    for stored in rows[0]:
        name = stored.removesuffix(_BRIEF)
        arrays = [row[stored] for row in rows]
        if name in ragged:
            lengths = torch.tensor([len(a) for a in arrays])
            batch[ragged[name]] = torch.arange(int(lengths.max()))[None] < lengths[:, None]
            arrays = _padded(arrays, int(lengths.max()))
        tensor = torch.from_numpy(
            np.stack(arrays).view(np.int16) if stored != name else np.stack(arrays)
        )
        batch[name] = tensor.view(torch.bfloat16).float() if stored != name else tensor
    return batch


def _padded(arrays: Sequence[np.ndarray], longest: int) -> list[np.ndarray]:
    out = []
    for array in arrays:
        if len(array) < longest:
            rest = np.zeros((longest - len(array), *array.shape[1:]), array.dtype)
            array = np.concatenate([array, rest])
        out.append(array)
    return out


def nbytes(row: Mapping[str, np.ndarray]) -> int:
    """Bytes of one row's arrays."""
    return sum(a.nbytes for a in row.values())
