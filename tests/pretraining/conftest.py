"""What every test of pre-training stands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.engine import loop


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a folder of its own, and a checkpoint after every epoch."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
