"""Folders of headstart's own things."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Folder for stores, data caches and twins: HEADSTART_CACHE, else the user's cache folder."""
    asked = os.environ.get("HEADSTART_CACHE")
    if asked:
        return Path(asked)
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "headstart"


def settings_root() -> Path:
    """Folder for what a person has said and nothing can compute again: HEADSTART_CONFIG; HEADSTART_CACHE
    where only that is set; else the user's folder of settings."""
    for name in ("HEADSTART_CONFIG", "HEADSTART_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME", "~/.config")).expanduser() / "headstart"
