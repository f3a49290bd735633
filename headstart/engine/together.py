"""Trainings side by side: a small network leaves cores idle, so several of them train at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import torch
from threadpoolctl import ThreadpoolController

from headstart.core import machine
from headstart.core.run import Step, Watcher

Alive = Callable[[], None]
Task = Callable[[Watcher | None, Alive], None]


class _Stopped(Exception):
    """Ends a task whose neighbour failed, or that a person broke off."""


class _Group:
    """Steps of all tasks as one: what is done and what there is to do, added up."""

    def __init__(self, watcher: Watcher | None, tasks: int) -> None:
        self.watcher, self.tasks = watcher, tasks
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.known: dict[str, dict[int, tuple[int, int]]] = {}

    def alive(self) -> None:
        """Raises where the group is to end."""
        if self.stop.is_set():
            raise _Stopped

    def step(self, number: int, step: Step) -> None:
        """Tells how far all are; a task that has not begun is taken to be as long as the longest."""
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
    """All tasks, as many at once as there are cores, each with one thread of torch and of BLAS.

    A task is given a watcher and what it must call before every step: it raises once another task has
    failed or a person has asked for the end (`KeyboardInterrupt`). The error of the first task, in their
    order, that failed is raised when all have ended. Torch's global generator and the numbers of threads
    are afterwards as they were.
    """
    group, before = _Group(watcher, len(tasks)), torch.get_num_threads()
    begun: list[Future[None]] = []
    torch.set_num_threads(1)
    try:
        with (
            ThreadpoolController().limit(limits=1, user_api="blas"),
            torch.random.fork_rng(),
            ThreadPoolExecutor(max(1, min(len(tasks), machine.cores()))) as pool,
        ):
            try:
                for number, task in enumerate(tasks):
                    begun.append(pool.submit(task, _One(group, number), group.alive))
                wait(begun, return_when=FIRST_EXCEPTION)
            finally:  # an error in one, or a person, ends all
                if not all(one.done() for one in begun) or len(begun) < len(tasks):
                    group.stop.set()
                    for one in begun:
                        one.cancel()
    finally:
        torch.set_num_threads(before)
    failed = [one.exception() for one in begun if not one.cancelled()]
    for error in sorted((e for e in failed if e), key=lambda e: isinstance(e, _Stopped)):
        raise error
