"""What a stored row depends on beside its sample: the processor, and the namespace that names it all."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path

from headstart.core.store import Space

POOLED = -1
_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "bf16",
)


@cache
def processor() -> str:
    """Features of this processor that change rounding, as "x86_64 avx2 mkl mkldnn".

    Two machines with equal words may share rows; anything else computes its own.
    """
    import torch

    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        line = next(x for x in text.splitlines() if x.lower().startswith(("flags", "features")))
        have = set(line.split(":", 1)[1].split())
        words = [f for f in _FLAGS if f in have]
    except (OSError, StopIteration, IndexError):
        words = [platform.processor() or "unknown"]
    words += [n for n in ("mkl", "mkldnn") if getattr(torch.backends, n).is_available()]
    return " ".join([platform.machine(), *words])


def device(kind: str) -> str:
    """`processor()` for "cpu"; name and capability of an accelerator ("cuda NVIDIA H100 9.0")."""
    if kind.startswith("cuda"):
        import torch

        major, minor = torch.cuda.get_device_capability(kind)
        return f"cuda {torch.cuda.get_device_name(kind)} {major}.{minor}"
    return processor() if kind == "cpu" else f"{kind} {processor()}"


def spaces(
    weights: str, transform: str, *, cut: int | None, profile: str, where: str, view: int = POOLED
) -> Callable[[str], Space]:
    """Executor label ("onnx 1.31") -> namespace.

    Args:
        weights: digest of the backbone's tensors.
        transform: digest of the preprocessing, already of the profile.
        cut: stage before which the state is taken; None: pooled features.
        where: what `processor()` or `device()` says.
        view: number of the augmented view; -1: none.
    """

    def space(executor: str) -> Space:
        at = POOLED if cut is None else cut
        return Space(weights, at, transform, executor, profile, where, view)

    return space
