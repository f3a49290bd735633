"""What this process may use of the machine: its processor cores, and the network."""

from __future__ import annotations

import os

OFFLINE = "HEADSTART_OFFLINE"
_NO = ("", "0", "false", "no", "off")


def cores() -> int:
    """Processor cores that this process may use; where the system does not tell, all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
