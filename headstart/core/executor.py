"""What runs a frozen trunk: one file each in `engine/executors/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

Runner = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class ExecutorFile(Protocol):
    """Names that an executor's module offers.

    Attributes:
        PROFILES: profiles that it may serve: "exact" (fp32) or "fast".
        DEVICES: device types that it runs on.
    """

    PROFILES: tuple[str, ...]
    DEVICES: tuple[str, ...]

    def version(self) -> str:
        """Version of the runtime, part of the store's key."""
        ...

    def missing(self, device: str) -> str:
        """Why it cannot be used on this device, as a sentence, or ""."""
        ...

    def prepare(
        self, trunk: nn.Module, example: Mapping[str, Tensor], device: str, cache: Path
    ) -> Runner:
        """Readies `trunk` (a module: inputs mapping -> mapping of tensors, eval mode, no gradient).

        Args:
            example: inputs of two samples, for tracing; the batch axis and axis 1 of ragged inputs
                are dynamic.
            cache: private folder for compiled artefacts, native code.
        """
        ...
