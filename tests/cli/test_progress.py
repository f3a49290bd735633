"""Progress: sparse lines without control codes in a file, bars on a terminal, time left only when known."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from headstart.cli import _console as console
from headstart.cli import _progress as progress
from headstart.core.run import Step

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("headstart.cli._progress.time.monotonic", lambda: now[0])
    return now


def test_lines_are_sparse_and_say_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = progress.Lines()
    for done in range(101):
        clock[0] = 0.4 * done
        lines.step(Step("features", done, 100))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "features 0/100"
    assert said[-1] == "features 100/100, done in 40.0\u00a0s"
    assert len(said) == 5
    assert "about 30.0\u00a0s left" in said[1]


def test_a_step_that_comes_again_begins_anew(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = progress.Lines()
    for _ in range(2):
        for done in (1, 2, 3, 3):
            clock[0] += 2
            lines.step(Step("training", done, 3))
    assert capsys.readouterr().err.count("done in 4.0\u00a0s") == 2


def test_no_time_left_before_there_is_a_pace() -> None:
    assert progress.remaining(0, 10, 5.0) is None
    assert progress.remaining(1, 10, 0.2) is None
    assert progress.remaining(5, 10, 5.0) == 10.0


@pytest.mark.parametrize("width", [40, 80, 120])
def test_bars_fit_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        console,
        "err",
        lambda: Console(file=screen, width=width, force_terminal=True, color_system=None),
    )
    with progress.Bars() as bars:
        for done in (0, 5, 10, 2, 10):
            bars.step(
                Step("a step with a rather long name, seed 0: head", done, 10, "detail \x1b[31m")
            )
        bars.say("A sentence [with brackets].")
        bars.step(Step("unknown size", 3, 0))
    shown = screen.getvalue()
    assert "A sentence [with brackets]." in shown
    assert "\x1b[31m" not in shown


def test_the_watcher_fits_the_stream() -> None:
    assert isinstance(progress.watcher(quiet=True), progress.Silent)
    assert isinstance(progress.watcher(), progress.Lines)


def test_a_real_terminal_gets_bars_and_a_piped_stdout_stays_plain(tmp_path: Path) -> None:
    main, side = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.fake", str(tmp_path), "none", "run", "data"],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=side,
        timeout=120,
        check=True,
    )
    os.close(side)
    drawn = b""
    try:
        while part := os.read(main, 65536):
            drawn += part
    except OSError:
        pass
    os.close(main)
    assert b"\x1b[" in drawn
    assert b"features" in drawn
    assert b"\x1b" not in done.stdout
