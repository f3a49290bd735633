"""Inputs of a batch blended with those of other rows, number by number or rectangle by rectangle.

Zhang et al. 2018, "mixup", arXiv:1710.09412; Yun et al. 2019, "CutMix", arXiv:1905.04899. What is drawn comes
from torch's global generator, on the processor, so that it is the same on every device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.core.common import Common
from headstart.core.strategy import Batch

STREAM = "train"


def blended(batches: Mapping[str, Batch], common: Common) -> Mapping[str, Batch]:
    """The batches of a step, the rows of "train" blended where that is asked for; one that enters behind the
    inputs stays as it is."""
    batch = batches.get(STREAM)
    if batch is None or not common.blends or batch.start or not batch.dense:
        return batches
    other = torch.randperm(len(next(iter(batch.inputs.values()))))
    cut = bool(common.cutmix) and (not common.mixup_inputs or bool(torch.rand(()) < 0.5))
    if cut:
        inputs, share = pasted(batch, other, _share(common.cutmix))
    else:
        share = _share(common.mixup_inputs)
        inputs = mixed(batch, other, share)
    lent = {name: target[other] for name, target in batch.targets.items()}
    made = dataclasses.replace(batch, inputs=inputs, lent=lent, share=share)
    return {**batches, STREAM: made}


def _share(alpha: float) -> Tensor:
    """() from Beta(alpha, alpha)."""
    drawn: Tensor = torch.distributions.Beta(alpha, alpha).sample()
    return drawn


def mixed(batch: Batch, other: Tensor, share: Tensor) -> dict[str, Tensor]:
    """Dense inputs as `share` of a row's own and the rest of another's; of masks beside them, what either
    has. Behind the end of a row there are zeros."""
    made = dict(batch.inputs)
    for name, value in batch.inputs.items():
        if name in batch.dense:
            made[name] = share * value + (1 - share) * value[other]
        elif value.dtype == torch.bool:
            made[name] = value | value[other]
    return made


def pasted(batch: Batch, other: Tensor, share: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Pictures with a rectangle of another one, and the share of the area () that stayed their own.

    The rectangle has the sides' proportion and lies about an evenly drawn place; what of it lies outside is
    not counted.
    """
    made = dict(batch.inputs)
    side, where = math.sqrt(1.0 - float(share)), torch.rand(2)
    kept = share
    for name in batch.grid:
        value = batch.inputs[name]
        (top, bottom), (left, right) = (
            _ends(length, side, float(place))
            for length, place in zip(value.shape[-2:], where, strict=True)
        )
        value = value.clone()
        value[..., top:bottom, left:right] = batch.inputs[name][other][..., top:bottom, left:right]
        made[name] = value
        kept = torch.tensor(1 - (bottom - top) * (right - left) / math.prod(value.shape[-2:]))
    return made, kept


def _ends(length: int, share: float, place: float) -> tuple[int, int]:
    """First line of a stretch, and the one behind its last."""
    half, middle = round(share * length) / 2, place * length
    return max(0, round(middle - half)), min(length, round(middle + half))
