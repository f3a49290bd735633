"""Progress on stderr: bars with the time left on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from headstart.cli import _console as console
from headstart.core.run import Step, Watcher
from headstart.report import text

EVERY = 10.0  # seconds between two plain lines of one step


class Silent:
    """Tells nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def step(self, step: Step) -> None:
        """Ignores a step."""

    def say(self, sentence: str) -> None:
        """Ignores a sentence."""


class Steps(Silent):
    """Passes steps on, and keeps sentences back where they are told with the outcome."""

    def __init__(self, told: Watcher) -> None:
        self._told = told

    def step(self, step: Step) -> None:
        """Tells the step."""
        self._told.step(step)


class Lines:
    """For a file or a pipe: a line when a step begins, one every ten seconds, one when it ends."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[float, int]] = {}
        self._told: dict[str, float] = {}
        self._over: set[tuple[str, int]] = set()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def step(self, step: Step) -> None:
        """Prints the step if it is new, due or done."""
        now = time.monotonic()
        new = step.name not in self._begun
        over = bool(step.total) and step.done >= step.total
        if new and over and (step.name, step.total) in self._over:
            return
        begun, first = self._begun.setdefault(step.name, (now, step.done))
        if not (new or over or now - self._told[step.name] >= EVERY):
            return
        self._told[step.name] = now
        if over:  # one of the same name that comes again begins anew
            self._over.add((step.name, step.total))
            del self._begun[step.name]
            self._print(step, "done" if new else f"done in {text.duration(now - begun)}")
            return
        left = remaining(step.done - first, step.total - step.done, now - begun)
        self._print(step, f"about {text.duration(round(left))} left" if left is not None else "")

    def _print(self, step: Step, note: str) -> None:
        count = f"{step.done}/{step.total}" if step.total else str(step.done or "")
        parts = [part for part in (f"{step.name} {count}".strip(), step.detail, note) if part]
        console.err().print(Text(console.clean(", ".join(parts))), soft_wrap=True)

    def say(self, sentence: str) -> None:
        """Prints the sentence."""
        console.err().print(Text(console.clean(sentence)), soft_wrap=True)


def remaining(done: int, left: int, spent: float) -> float | None:
    """Seconds left at the pace so far; None before there is a pace to judge by (one part, one second)."""
    if done <= 0 or left < 0 or spent < 1.0:
        return None
    return spent / done * left


class _Left(ProgressColumn):
    """Time left while a step runs, time taken once it is done; nothing while the pace is unknown."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The words of one step."""
        if task.finished:
            return Text(text.duration(task.finished_time or 0.0), style="green")
        begun, total = task.fields.get("begun", 0.0), task.total or 0
        left = remaining(
            int(task.completed - begun), int(total - task.completed), task.elapsed or 0.0
        )
        return Text(f"~{text.duration(round(left))} left" if left is not None else "", style="cyan")


class Bars:
    """For a terminal: one bar a step; steps that are done keep their line."""

    def __init__(self) -> None:
        screen = console.err()
        wide = screen.width >= console.NARROW
        columns: list[ProgressColumn] = [
            SpinnerColumn(finished_text="\N{CHECK MARK}"),
            TextColumn("{task.description}", markup=False),
        ]
        if wide:
            columns += [
                BarColumn(bar_width=24),
                TextColumn("{task.fields[count]}", markup=False, style="dim"),
            ]
        columns.append(_Left())
        if screen.width >= 90:
            columns.append(TextColumn("{task.fields[detail]}", markup=False, style="dim"))
        self._room = 200 if wide else max(12, screen.width - 18)
        self._progress = Progress(*columns, console=screen)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def step(self, step: Step) -> None:
        """Moves the bar of the step; a first call makes it."""
        name = console.clean(step.name)
        total = step.total or None
        fields: dict[str, Any] = {
            "count": f"{step.done}/{step.total}" if step.total else str(step.done or ""),
            "detail": console.clean(step.detail),
        }
        if name not in self._tasks:
            shown = (
                name
                if len(name) <= self._room
                else name[: self._room - 1] + "\N{HORIZONTAL ELLIPSIS}"
            )
            self._tasks[name] = self._progress.add_task(
                shown, total=total, begun=step.done, **fields
            )
        elif step.done < self._progress.tasks[self._tasks[name]].completed:
            self._progress.reset(self._tasks[name], total=total, begun=step.done, **fields)
        self._progress.update(self._tasks[name], completed=step.done, total=total, **fields)

    def say(self, sentence: str) -> None:
        """Prints the sentence above the bars."""
        self._progress.console.print(Text(console.clean(sentence), style="dim"))


def watcher(*, quiet: bool = False) -> Silent | Lines | Bars:
    """The watcher that fits stderr; a context manager."""
    if quiet:
        return Silent()
    screen = console.err()
    drawn = sys.stderr.isatty() and screen.is_terminal and not screen.is_dumb_terminal
    return Bars() if drawn else Lines()
