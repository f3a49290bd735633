"""What this process may use of the machine: its processor, and the network."""

from __future__ import annotations

import functools
import os
from pathlib import Path

OFFLINE = "HEADSTART_OFFLINE"
_NO = ("", "0", "false", "no", "off")


def cores() -> int:
    """Processor cores that this process may use; where the system does not tell, all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def flags() -> frozenset[str]:
    """What the processor says it can do, as Linux spells it; empty where nothing tells."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.lower().startswith(("flags", "features")):
            return frozenset(line.split(":", 1)[-1].split())
    return frozenset()


def forbidden(planned: bool = False, *more: str) -> str:
    """Who forbids the network, in words, or "".

    Args:
        planned: whether the plan does (`source.offline`).
        more: environment variables that do so too, beside HEADSTART_OFFLINE; of each any value counts
            but "0", "false", "no" and "off".
    """
    for name in (OFFLINE, *more):
        if os.environ.get(name, "").strip().lower() not in _NO:
            return f"the environment variable {name}"
    return "the plan (source.offline)" if planned else ""
