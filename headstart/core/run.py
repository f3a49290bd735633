"""What a run leaves: a folder with one JSON document and its artefacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Protocol

from headstart.core.evidence import Finding
from headstart.core.plan import Plan

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """A finished run as plain values; `run.json` holds it.

    Attributes:
        id: "20261121-101500-3fa2" - time and plan digest.
        digests: of "data", "source", "plan", "code", "split", "predictions".
        source: the source document as a mapping.
        findings: one a check.
        predictions: of the transfer arm's first seed on the test rows: "names", "targets",
            "outputs"; report and replay reuse them and open nothing.
        facts: counters and texts (rows, seconds, FLOPs, bytes, executor, versions, openings ...).
        notes: sentences for a person: what was guessed, resampled, truncated, not measured.
        set_aside: rows that could not be used: name, reason, remedy.
    """

    id: str
    plan: Plan
    digests: Mapping[str, str]
    source: Mapping[str, Any]
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]
    predictions: Mapping[str, Any]
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    set_aside: tuple[Mapping[str, str], ...] = ()
    format: int = FORMAT

    @property
    def carried_out(self) -> Plan:
        """The plan with the source that was opened: "auto" and "run:last" may be another one by now."""
        source = replace(self.plan.source, uri=str(self.source["uri"]))
        return replace(self.plan, source=source)

    def finding(self, check: str) -> Finding | None:
        """The finding of one check, or None where it was not asked for."""
        return next((f for f in self.findings if f.check == check), None)


@dataclass(frozen=True)
class Step:
    """One event of progress, for the terminal: part `done` of `total` of a named step."""

    name: str
    done: int
    total: int
    detail: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


class Watcher(Protocol):
    """Told of progress and of sentences; the command line draws it, a notebook may not."""

    def step(self, step: Step) -> None: ...

    def say(self, sentence: str) -> None: ...


class Once:
    """A watcher that is told each sentence once, whoever says it."""

    def __init__(self, watcher: Watcher) -> None:
        self.step, self._watcher = watcher.step, watcher
        self._heard: set[str] = set()
        self._lock = Lock()  # trainings side by side may say the same

    def say(self, sentence: str) -> None:
        with self._lock:
            new = sentence not in self._heard
            self._heard.add(sentence)
        if new:
            self._watcher.say(sentence)
