"""Trainings side by side: a small network leaves cores idle, so several of them train at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import torch

from headstart.core.run import Step, Watcher

Task = Callable[[Watcher | None], None]


class _Stopped(Exception):
    """Ends a task whose neighbour failed, or that a person broke off."""


class _Group:
    """Steps of all tasks as one: what is done and what there is to do, added up."""

    def __init__(self, watcher: Watcher | None, tasks: int) -> None:
        self.watcher, self.tasks = watcher, tasks
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.known: dict[str, dict[int, tuple[int, int]]] = {}

    def step(self, number: int, step: Step) -> None:
        """Tells how far all are; a task that has not begun is taken to be as long as the longest."""
        if self.stop.is_set():
            raise _Stopped
        with self.lock:
            known = self.known.setdefault(step.name, {})
            known[number] = (step.done, step.total)
            longest = max(total for _, total in known.values())
            total = sum(total for _, total in known.values())
            total += longest * (self.tasks - len(known))
            done = sum(done for done, _ in known.values())
            if self.watcher is not None:
                self.watcher.step(Step(step.name, done, total, step.detail, step.extra))

    def say(self, sentence: str) -> None:
        """Passes a sentence on."""
        with self.lock:
            if self.watcher is not None:
                self.watcher.say(sentence)


class _One:
    """What one task tells goes to its group."""

    def __init__(self, group: _Group, number: int) -> None:
        self.group, self.number = group, number
        self.say = group.say

    def step(self, step: Step) -> None:
        self.group.step(self.number, step)


def run(tasks: Sequence[Task], watcher: Watcher | None) -> None:
    """All tasks, as many at once as there are cores, each with one thread of torch.

    The first error is raised once the others have ended, at their next step of progress; so is
    `KeyboardInterrupt`. Torch's global generator is afterwards as it was.
    """
    workers = min(len(tasks), os.cpu_count() or 1)
    if workers < 2:
        for task in tasks:
            task(watcher)
        return
    group, before = _Group(watcher, len(tasks)), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(), ThreadPoolExecutor(workers) as pool:
            begun = [pool.submit(task, _One(group, n)) for n, task in enumerate(tasks)]
            try:
                wait(begun, return_when=FIRST_EXCEPTION)
            finally:  # an error in one, or a person, ends all
                if not all(one.done() for one in begun):
                    group.stop.set()
                    for one in begun:
                        one.cancel()
    finally:
        torch.set_num_threads(before)
    failed = [one.exception() for one in begun if not one.cancelled()]
    for error in sorted((e for e in failed if e), key=lambda e: isinstance(e, _Stopped)):
        raise error
