"""Which executor: the one with the least predicted time, rows that are already there counted in."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core import plugins
from headstart.core.store import Shelf, Space
from headstart.errors import PlanError, nearest

FEW = 64  # rows; for fewer nothing is measured
CHOSEN = "chosen"
WORTH = 10.0  # seconds that another executor must save before the one used so far is left


@dataclass
class Candidate:
    """One executor that could do it.

    Attributes:
        label: name and version, as the namespace spells it.
        absent: places of the keys that its namespace lacks.
    """

    name: str
    file: ModuleType
    label: str
    shelf: Shelf
    absent: list[int]


def label(name: str, file: ModuleType) -> str:
    """ "onnx 1.31.1"."""
    return f"{name} {file.version()}"


def candidates(
    how: Any, space: Callable[[str], Space], store: Any, keys: Sequence[bytes]
) -> tuple[list[Candidate], list[str]]:
    """Executors that serve profile and device and are installed; sentences about those that are not.

    Raises:
        PlanError: the one asked for does not exist or does not serve them.
    """
    names = plugins.names("executor") if how.executor == "auto" else (how.executor,)
    found, notes = [], []
    for name in names:
        if name not in plugins.names("executor"):
            raise PlanError(
                f"Unknown executor '{name}'. {nearest(name, plugins.names('executor'))}"
            )
        file = plugins.load("executor", name)
        unfit = _unfit(name, file, how)
        if unfit and how.executor != "auto":
            notes.append(f"{unfit} Eager PyTorch is used instead.")
            name, file = "eager", plugins.load("executor", "eager")
        elif unfit:
            continue
        shelf = store.shelf(space(label(name, file)))
        found.append(Candidate(name, file, label(name, file), shelf, shelf.missing(keys)))
    return found, notes


def _unfit(name: str, file: ModuleType, how: Any) -> str:
    if how.profile not in file.PROFILES:
        return f"Executor '{name}' does not serve profile '{how.profile}'."
    if how.device.split(":")[0] not in file.DEVICES:
        return f"Executor '{name}' does not run on '{how.device}'."
    return str(file.missing(how.device))


def order(
    found: list[Candidate], measure: Callable[[], float], rates: Mapping[str, Any]
) -> list[Candidate]:
    """Candidates, least predicted time first. The one that computed this network's rows before stays
    first unless another takes less than half the time, so that rows are not spread over namespaces.

    Args:
        measure: seconds per row of the eager network, called only where it can matter.
        rates: executor -> seconds per row and to prepare, where they were measured before; "chosen":
            the executor of the last time.
    """
    if len(found) < 2 or any(not c.absent for c in found):
        return sorted(found, key=lambda c: (len(c.absent), c.name))
    few = max(len(c.absent) for c in found) <= FEW
    eager = 0.0 if few else (rates["eager"][0] if "eager" in rates else measure())

    def predicted(c: Candidate) -> float:
        prepare, relative = getattr(c.file, "COST", (0.0, 1.0))
        row = relative * eager
        if c.name in rates:
            row, prepare = rates[c.name]
        return prepare + row * len(c.absent)

    ranked = sorted(found, key=lambda c: (predicted(c), c.name))
    used = next((c for c in ranked if c.name == rates.get(CHOSEN)), ranked[0])
    best, now = predicted(ranked[0]), predicted(used)
    if now < 2 * best or now - best < WORTH:
        ranked.sort(key=lambda c: c is not used)
    return ranked


def seconds_per_row(trunk: nn.Module, example: Mapping[str, Tensor]) -> float:
    """Of the eager network on this machine, from two passes over eight rows, the quicker one."""
    eight = {n: torch.cat([t] * 4)[:8] for n, t in example.items()}
    best = float("inf")
    with torch.inference_mode():
        for _ in range(2):
            start = time.perf_counter()
            trunk(eight)
            best = min(best, time.perf_counter() - start)
    return best / len(next(iter(eight.values())))


def read_rates(cache: Path, which: str) -> dict[str, Any]:
    """What was measured before: executor -> [seconds per row, seconds to prepare again], and "chosen"."""
    try:
        return dict(json.loads((cache / f"rates-{which}.json").read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def write_rates(cache: Path, which: str, rates: Mapping[str, Any]) -> None:
    """Keeps them for the next time; a disk that refuses is no reason to fail."""
    draft = cache / f"rates-{which}.{os.getpid()}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(rates), "utf-8")
        draft.replace(cache / f"rates-{which}.json")
    except OSError:
        draft.unlink(missing_ok=True)
