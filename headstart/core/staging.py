"""Staging is verified: the staged backbone says what the untouched network says, at every cut."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.core.network import Backbone
from headstart.errors import ContractError

TOLERANCE = 1e-4


def verify(backbone: Backbone, reference: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> None:
    """Compares a staged backbone with its network on a probe batch.

    Args:
        reference: what the untouched network says: "pool" (N, width), or "positions" (N, L, width),
            compared at unmasked places; both where it has both.
        inputs: the probe batch.

    Raises:
        ContractError: pooled features or positions differ by more than 1e-4 of their size, or running in
            two pieces gives something else than running at once.
    """
    with torch.inference_mode():
        whole = backbone.run(inputs)
        pooled = backbone.pool(whole)
        if pooled.shape[1:] != (backbone.width,):
            raise ContractError(
                f"{type(backbone).__name__} pools to {tuple(pooled.shape)}; its width is "
                f"{backbone.width}. Mend the staging of this family."
            )
        if "pool" in reference:
            _close(pooled, reference["pool"].flatten(1), backbone, "pooled features")
        if "positions" in reference:
            values, mask = backbone.positions(whole)
            _close(values[mask], reference["positions"][mask], backbone, "positions")
        for cut in range(len(backbone.stages) + 1):
            again = backbone.pool(backbone.run(backbone.run(inputs, stop=cut), start=cut))
            _close(again, pooled, backbone, f"features after a cut at stage {cut}")


def _close(found: Tensor, expected: Tensor, backbone: Backbone, what: str) -> None:
    if found.shape != expected.shape:
        raise ContractError(
            f"{type(backbone).__name__}: {what} have the shape {tuple(found.shape)}, the untouched "
            f"network's {tuple(expected.shape)}. Mend the staging of this family."
        )
    scale = max(float(expected.abs().max()), 1e-6) if expected.numel() else 1.0
    worst = float((found - expected).abs().max()) / scale if expected.numel() else 0.0
    if not worst <= TOLERANCE:
        raise ContractError(
            f"{type(backbone).__name__}: {what} differ from the untouched network's by {worst:.2g} of "
            f"their size; {TOLERANCE:g} is allowed. Mend the staging of this family."
        )


