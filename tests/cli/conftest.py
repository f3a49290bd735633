"""One command line in this process, on a made-up api."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import headstart
from headstart.cli import main
from tests.cli.fake import Api

VERBS = (
    *("run", "predict", "cluster", "similar", "report", "runs", "compare", "sources", "store"),
    *("replay", "doctor", "pretrain", "export", "sequence"),
)


class Said(NamedTuple):
    """How a command ended: exit code and both streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = Api(tmp_path)
    monkeypatch.setitem(sys.modules, "headstart.api", made)
    monkeypatch.setitem(vars(headstart), "api", made)
    for verb in VERBS:
        monkeypatch.delitem(sys.modules, f"headstart.cli.{verb}", raising=False)
    for name in ("FORCE_COLOR", "HEADSTART_DEBUG", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    yield made
    for verb in VERBS:
        sys.modules.pop(f"headstart.cli.{verb}", None)


@pytest.fixture
def call(api: Api, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def calling(*arguments: str) -> Said:
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return calling
