"""Commands and code in processes of their own, forked from one that has loaded the libraries already.

Loading them takes longer than most of what is tested. The README's commands are started as a person starts
them; see `tests/test_readme.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TIMEOUT = 900  # seconds a process; a loaded machine takes its time


@dataclass(frozen=True)
class Done:
    """A process that has ended: its exit code, negative for a signal, and all that it wrote."""

    code: int | None
    output: str


def command(arguments: list[str]) -> int:
    """`headstart` with these arguments."""
    from headstart.cli import main

    sys.argv = ["headstart", *arguments]
    return main(arguments)


def code(body: str) -> int:
    """Python, as `python -c` takes it."""
    exec(compile(body, "<string>", "exec"), {"__name__": "__main__"})
    return 0


def start(
    work: Callable[..., int], asked: Any, folder: Path, settings: Mapping[str, str], log: Path
) -> BaseProcess:
    """A process that does `work(asked)` in a folder, with an environment, and writes into `log`."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.loaded"])
    made = context.Process(target=_carry_out, args=(work, asked, folder, dict(settings), log))
    made.start()
    return made


def run(
    work: Callable[..., int],
    asked: Any,
    folder: Path,
    settings: Mapping[str, str],
) -> Done:
    """The same, to its end."""
    with TemporaryDirectory() as place:
        log = Path(place) / "log"
        made = start(work, asked, folder, settings, log)
        made.join(TIMEOUT)
        if made.exitcode is None:
            made.kill()
            made.join()
        return Done(made.exitcode, log.read_text("utf-8") if log.exists() else "")


def _carry_out(
    work: Callable[..., int], asked: Any, folder: Path, settings: Mapping[str, str], log: Path
) -> None:
    with log.open("wb") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(settings)
    sys.exit(work(asked))
