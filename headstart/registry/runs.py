"""The folders of runs: where they lie, which there are, and how a person names one.

The folders are the truth; a tracking server mirrors them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile

from headstart.core.plan import Plan
from headstart.core.run import Record
from headstart.errors import PlanError, StorageError, nearest
from headstart.registry import document, files

OUTPUT = "headstart-runs"
LAST = "last"


@dataclass(frozen=True)
class Entry:
    """One finished run: its folder, and its record without the predictions."""

    folder: Path
    record: Record

    @property
    def id(self) -> str:
        return self.record.id


@dataclass(frozen=True)
class Scan:
    """All that an output folder holds: finished runs, newest first, and folders that hold none.

    Attributes:
        unreadable: folder and reason, for runs that broke off or are damaged.
    """

    entries: tuple[Entry, ...]
    unreadable: tuple[tuple[Path, str], ...]


def place(output: str | Path = "") -> Path:
    """The folder of runs: `output`, or "./headstart-runs"."""
    return Path(output or OUTPUT)


def ready(plan: Plan) -> None:
    """Raises StorageError where the plan's folder of runs cannot be written, before anything is trained."""
    parent = place(plan.output)
    there = parent.exists()
    with files.storing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=parent):
            pass
    if not there:
        with contextlib.suppress(OSError):  # another run has begun there
            parent.rmdir()


def start(plan: Plan, output: str | Path = "", *, now: datetime | None = None) -> Path:
    """Makes the empty folder of a new run; its name is the run's id.

    Two runs that start in the same second get different ids: the second one ends in "-2".

    Raises:
        StorageError: the folder cannot be written.
    """
    parent = place(output or plan.output)
    stem = f"{now or datetime.now():%Y%m%d-%H%M%S}-{plan.digest[:4]}"
    with files.storing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for turn in range(1, 1000):
            folder = parent / (stem if turn == 1 else f"{stem}-{turn}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    raise StorageError(
        f"{parent} already has a thousand runs called {stem}. Choose another folder."
    )


def scan(output: str | Path = "") -> Scan:
    """Reads all run folders below `output`; an output folder that is not there holds none."""
    entries, unreadable = [], []
    for folder in _folders(place(output)):
        try:
            entries.append(Entry(folder, document.read(folder, predictions=False)))
        except StorageError as error:
            unreadable.append((folder, str(error)))
    entries.sort(key=lambda e: (e.id, e.folder.name), reverse=True)
    return Scan(tuple(entries), tuple(unreadable))


def list(output: str | Path = "") -> tuple[Entry, ...]:  # read as `runs.list`
    """The finished runs, newest first."""
    return scan(output).entries


def find(name: str | Path, output: str | Path = "") -> Path:
    """The folder of one run, by id, by the beginning of an id, by path, or as "last".

    Raises:
        PlanError: no run, or more than one, answers to the name; the nearest ones are offered.
    """
    path = Path(name)
    if str(name) and (path / document.RUN).is_file():
        return path
    if path.name == document.RUN and path.is_file():
        return path.parent
    known = [f.name for f in _folders(place(output)) if (f / document.RUN).is_file()]
    if not known:
        raise PlanError(
            f"There is no run '{name}': {place(output)} holds no finished run. "
            "Make one with: headstart run DATA"
        )
    if str(name) == LAST:
        return place(output) / max(known)
    fitting = [k for k in known if str(name) and k.startswith(str(name))]
    if str(name) in known or len(fitting) == 1:
        return place(output) / (str(name) if str(name) in known else fitting[0])
    if fitting:
        names = ", ".join(sorted(fitting)[:5])
        raise PlanError(
            f"'{name}' is the beginning of {len(fitting)} runs: {names}. Give more of it."
        )
    raise PlanError(f"There is no run '{name}' in {place(output)}. {nearest(str(name), known)}")


def _folders(parent: Path) -> Iterator[Path]:
    """Folders whose names begin like a run's id, in the order of their names."""
    if parent.is_dir():
        for folder in sorted(parent.iterdir()):
            if folder.name[:8].isdigit() and folder.is_dir():
                yield folder
