"""How the rate goes within a phase: progress 0 to 1 in, factor out."""

from __future__ import annotations

import math

WARM_UP = 0.1
SLANT, SLANT_RATIO = 0.1, 32.0  # share of rising steps, highest by lowest rate (arXiv:1801.06146)


def schedule(progress: float) -> float:
    """Linear warm-up over the first tenth, then half a cosine to zero (arXiv:1608.03983)."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


def slanted(progress: float) -> float:
    """Slanted triangles: linear over the first tenth from 1/32 to 1, then linear back (arXiv:1801.06146)."""
    part = progress / SLANT if progress < SLANT else (1.0 - progress) / (1.0 - SLANT)
    return (1.0 + part * (SLANT_RATIO - 1.0)) / SLANT_RATIO


def constant(progress: float) -> float:
    """One rate throughout."""
    return 1.0


SCHEDULES = {"cosine": schedule, "slanted": slanted, "constant": constant}
