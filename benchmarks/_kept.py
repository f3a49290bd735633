"""A file of finished runs, with which a stopped table goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def finished(place: Path | None) -> dict[str, Any]:
    """What the file has, by key; {} without one."""
    if place is None or not place.is_file():
        return {}
    found: dict[str, Any] = json.loads(place.read_text("utf-8"))
    return found


def keep(known: Mapping[str, Any], place: Path | None) -> None:
    """Replaces the file in one step, where there is one."""
    if place is not None:
        beside = place.with_suffix(".tmp")
        beside.write_text(json.dumps(known), "utf-8")
        os.replace(beside, place)
