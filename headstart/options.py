"""Flat options of the Python calls, put where they belong in a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import PlanError, nearest

_TASK = (
    *("outcome", "modality", "per_class", "test_share", "tolerate", "near_duplicates"),
    *("out_of_scope", "forecast", "levels"),
)
_ENGINE = ("profile", "executor", "device", "batch", "store", "cap_gb", "threads", "refit")
_EVIDENCE = ("seeds", "scratch", "champion", "checks", "twin_floor_tflop", "learning_curve")
_EVIDENCE += ("remember", "retain")


_AUGMENTATION = ("augment", "operations", "magnitude")

ROOMS = {
    "task": _TASK,
    "engine": _ENGINE,
    "evidence": _EVIDENCE,
    "augmentation": _AUGMENTATION,
    "source": ("offline",),
}


def listed(given: str) -> list[str]:
    """Of a list with commas."""
    return [name.strip() for name in given.split(",") if name.strip()]


def place(values: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Puts flat options where they belong in a plan. Raises PlanError for an unknown one."""
    for name, value in options.items():
        room = next((r for r, names in ROOMS.items() if name in names), None)
        if room is None:
            known = [n for names in ROOMS.values() for n in names]
            raise PlanError(f"Unknown option '{name}'. {nearest(name, known)}")
        if name == "augment" and isinstance(value, str):
            value = listed(value)
        values.setdefault(room, {})[name] = os.fspath(value) if isinstance(value, Path) else value
