"""What `cluster` and `similar` share."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from headstart.cli import _options as o
from headstart.core.plan import Plan

ASKED = ("source", "target", "inputs", "modality", "profile", "seed", "store", "offline")


def plan(data: str, given: Mapping[str, Any]) -> Plan:
    """The plan of data and of those options that do not speak of training."""
    return o.plan(data, {name: given[name] for name in ASKED if name in given}, [])


def page(kind: str, found: Any) -> str:
    """The page of what was found; drawn by `report.groups`, which is loaded now."""
    made: str = getattr(importlib.import_module("headstart.report.groups"), kind)(found)
    return made
