"""The public face, imported when a verb first asks for something of it.

So `headstart VERB --help`, and an option that is wrong, need not wait for the network libraries.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("headstart.api"), name)
