"""Staging is verified: the staged network says what the untouched one says, at every cut."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.core.network import Backbone
from headstart.errors import ContractError

TOLERANCE = 1e-4
"""Largest difference allowed, relative to the largest value that the untouched network gave."""


def verify(
    backbone: Backbone, reference: Mapping[str, Tensor], inputs: Mapping[str, Tensor]
) -> None:
    """Compares a staged network with the untouched one on a probe batch, in eval mode.

    Args:
        reference: {"pool": (N, width)} or {"positions": (N, L, width)}, what the modality's
            `reference` gave for `inputs`; {} where there is no untouched network (a formula).
        inputs: a probe batch, best with rows of different length.

    Raises:
        ContractError: with the largest difference, and where.
    """
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            final = backbone.run(inputs)
            _shapes(backbone, final, len(next(iter(inputs.values()))))
            _against(backbone, reference, final)
            _reentered(backbone, inputs, backbone.pool(final))
    finally:
        backbone.train(training)


def _reentered(backbone: Backbone, inputs: Mapping[str, Tensor], expected: Tensor) -> None:
    """One walk that stops before every stage; where it differs, each cut by itself says which it is."""
    state = inputs
    for number in range(len(backbone.stages)):
        state = backbone.run(state, start=number, stop=number + 1)
    try:
        _close(backbone.pool(state), expected, "leaving and re-entering before every stage")
    except ContractError:
        for cut in range(len(backbone.stages) + 1):
            resumed = backbone.run(backbone.run(inputs, stop=cut), start=cut)
            where = f"leaving and re-entering before stage {cut} of {len(backbone.stages)}"
            _close(backbone.pool(resumed), expected, where)
        raise


def _shapes(backbone: Backbone, final: Mapping[str, Tensor], rows: int) -> None:
    pooled = backbone.pool(final)
    if tuple(pooled.shape) != (rows, backbone.width):
        raise ContractError(
            f"pool() gave the shape {tuple(pooled.shape)}; expected ({rows}, {backbone.width}): rows "
            "and the backbone's width."
        )
    if not bool(torch.isfinite(pooled).all()):
        raise ContractError("pool() gave NaN or infinity on the probe batch.")


def _against(
    backbone: Backbone, reference: Mapping[str, Tensor], final: Mapping[str, Tensor]
) -> None:
    """The untouched network's pooling, or its last hidden states at unmasked places."""
    if "pool" in reference:
        _close(backbone.pool(final), reference["pool"].flatten(1), "the pooled features")
    if "positions" in reference:
        places, mask = backbone.positions(final)
        _close(places[mask], reference["positions"][mask], "the last hidden states")


def _close(found: Tensor, expected: Tensor, where: str) -> None:
    if found.shape != expected.shape:
        raise ContractError(
            f"Staging changed the shape of {where}: {tuple(found.shape)} instead of "
            f"{tuple(expected.shape)}."
        )
    if not found.numel():
        return
    difference = float((found - expected).abs().max())
    scale = max(float(expected.abs().max()), 1e-6)
    if not difference <= TOLERANCE * scale:
        raise ContractError(
            f"Staging changed what the network says, at {where}: largest difference {difference:.3g}, "
            f"allowed {TOLERANCE * scale:.3g}. The family is staged wrongly; report it, or use another "
            "source."
        )
