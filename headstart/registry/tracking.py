"""Mirrors finished runs into MLflow, which draws tables and curves over many of them.

The run folders are the truth; a run is complete before anything here begins, and no failure here
loses one. By default the mirror is the SQLite file `<output>/mlflow.db`; where MLFLOW_TRACKING_URI
is set it is that server. HEADSTART_TRACKING=off switches the mirror off.

MLflow is the one library imported here, when a run is logged and not before, with its telemetry
switched off. Its import and its first tables take seconds, so `later` does the work in a process of
its own and `log` in this one.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import math
import os
import random
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from headstart.core import machine
from headstart.core.plan import differences
from headstart.core.run import Record
from headstart.errors import HeadstartError
from headstart.registry import document, files
from headstart.registry.plain import dumps

T = TypeVar("T")

NOTE = "tracking.json"
DATABASE = "mlflow.db"
EXPERIMENT = "headstart"
SWITCH = "HEADSTART_TRACKING"
ARTIFACTS = ("report.html", document.PLAN, document.RUN)

# MLflow reads "true" in lower case from either; both are set, since other libraries read the second.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

_TRIES = 8
_BUSY = ("locked", "busy", "already exists", "UNIQUE constraint")
_NAME_LIMIT = 250
_VALUE_LIMIT = 500  # the oldest servers' limit for parameters; tags may be longer
_CHUNK = 100  # parameters and tags that one request may carry
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Mirrored:
    """What became of one mirroring.

    Attributes:
        uri: the tracking store, or "" when nothing was tried.
        id: MLflow's id of the run, or "" when it is not there.
        seconds: how long it took, imports included.
        sentence: why it is not there, for a person; or "".
    """

    uri: str
    id: str
    seconds: float
    sentence: str


def log(folder: Path, output: Path) -> Mirrored:
    """Mirrors the finished run in `folder`, now and in this process. Never raises an Exception.

    Args:
        folder: the run's folder, complete.
        output: the folder of runs, where `mlflow.db` lies.
    """
    begun = time.perf_counter()
    uri, refusal = _where(output)
    run = ""
    if not refusal:
        try:
            run = _mirror(document.read(folder, predictions=False), folder, uri, output)
        except Exception as error:  # whatever a tracker throws, the run must outlive it
            text = " ".join(str(error).split())[:300]
            refusal = (
                f"The run is complete in {folder}, but it was not mirrored to {_shown(uri)}: "
                f"{type(error).__name__}: {text}"
            )
    return Mirrored(_shown(uri), run, time.perf_counter() - begun, refusal)


def later(folder: Path, output: Path) -> str:
    """Mirrors the run in a process of its own, which outlives this one; takes milliseconds.

    What became of it is written to `tracking.json` in the run's folder; `outcome` reads it.

    Returns:
        A sentence when nothing was started, else "".
    """
    _, refusal = _where(output)
    if refusal:
        return refusal
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | QUIET | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", __name__, str(folder.resolve()), str(output.resolve())]
    silent = subprocess.DEVNULL
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=silent,
            stdout=silent,
            stderr=silent,
            start_new_session=True,
        )
    except OSError as error:
        return f"The run is complete in {folder}, but its mirror could not be started: {error}."
    _children[:] = [c for c in _children if c.poll() is None]
    _children.append(child)
    return ""


def wait(timeout: float | None = None) -> None:
    """Waits until all mirrors that this process started have ended, at most `timeout` seconds each."""
    while _children:
        with suppress(subprocess.TimeoutExpired):
            _children[0].wait(timeout)
        _children.pop(0)


def outcome(folder: Path) -> Mirrored | None:
    """What became of `later`, or None while it has not ended."""
    try:
        return Mirrored(**json.loads((folder / NOTE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _where(output: Path) -> tuple[str, str]:
    """The tracking store's URI, and why it may not be used, or ""."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "false", "no"):
        return "", f"The run was not mirrored: {SWITCH} is off."
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or _own(output)
    if importlib.util.find_spec("mlflow") is None:
        return uri, (
            "The run was not mirrored: mlflow is not installed. "
            "Install it with: pip install 'headstart[track]'"
        )
    local = urlsplit(uri).scheme in ("sqlite", "file", "")
    if not local and machine.forbidden():
        return uri, (
            f"The run was not mirrored: {_shown(uri)} is on the network, and HEADSTART_OFFLINE forbids "
            "its use. Unset MLFLOW_TRACKING_URI to mirror into a file."
        )
    return uri, ""


def _own(output: Path) -> str:
    """The mirror beside the runs."""
    return f"sqlite:///{(output.resolve() / DATABASE).as_posix()}"


def _shown(uri: str) -> str:
    """The URI without the password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _mlflow(part: str) -> Any:
    """One module of MLflow; its telemetry is off before its first import and stays off."""
    os.environ.update(QUIET)
    return importlib.import_module(f"mlflow.{part}")


@contextmanager
def _hushed() -> Iterator[None]:
    """No chatter while MLflow works."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _prepare(database: Path, client: Callable[[str], Any]) -> None:
    """Makes the SQLite file, tables and all, where there is none.

    MLflow builds its tables in dozens of steps, and two processes that do so in one file spoil it.
    So each builds in a file of its own, and the first one to finish gives its file the name.
    """
    if database.exists():
        return
    part = database.with_name(f".{database.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        client(f"sqlite:///{part.resolve().as_posix()}").search_experiments()
        with suppress(FileExistsError):
            os.link(part, database)
    finally:
        with suppress(OSError):  # some systems keep a file that is still open
            part.unlink(missing_ok=True)


def _mirror(record: Record, folder: Path, uri: str, output: Path) -> str:
    """Logs one record; returns MLflow's id of it."""
    tracking = _mlflow("tracking")
    entities = _mlflow("entities")
    with _hushed():
        home = None
        if uri == _own(output):
            _prepare(output / DATABASE, tracking.MlflowClient)
            home = (output.resolve() / "artifacts").as_uri()
        client = _again(lambda: tracking.MlflowClient(uri))
        experiment = _again(lambda: _experiment(client, home))
        tags = _tags(record)
        run = _again(lambda: client.create_run(experiment, tags=tags, run_name=record.id))
        run_id = str(run.info.run_id)
        now = int(time.time() * 1000)
        params = [entities.Param(k, v) for k, v in _params(record).items()]
        metrics = [entities.Metric(k, v, now, 0) for k, v in _metrics(record).items()]
        for at in range(0, max(len(params), len(metrics), 1), _CHUNK):
            some, more = metrics[at : at + _CHUNK], params[at : at + _CHUNK]
            _again(lambda some=some, more=more: client.log_batch(run_id, some, more))
        for name in ARTIFACTS:
            if (folder / name).is_file():
                client.log_artifact(run_id, str(folder / name))
        _again(lambda: client.set_terminated(run_id))
    return run_id


def _experiment(client: Any, home: str | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(EXPERIMENT, artifact_location=home))


def _again(do: Callable[[], T]) -> T:
    """Repeats what failed because another process was writing; at most some ten seconds."""
    for turn in range(_TRIES):
        try:
            return do()
        except Exception as error:
            if turn == _TRIES - 1 or not any(word in str(error) for word in _BUSY):
                raise
            time.sleep(0.05 * 2**turn * random.uniform(0.5, 1.5))
    raise AssertionError("unreachable")


def _params(record: Record) -> dict[str, str]:
    """The plan's differences from the defaults, one parameter a leaf."""
    leaves = {
        "source": str(record.source.get("uri", "")),
        **_leaves(differences(record.plan), "plan."),
    }
    return {_name(key): str(value)[:_VALUE_LIMIT] for key, value in leaves.items()}


def _leaves(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            made |= _leaves(value, f"{where}{key}.")
        else:
            made[f"{where}{key}"] = value
    return made


def _metrics(record: Record) -> dict[str, float]:
    """Measures as "check/name group vs baseline" with their ends as _low and _high; finite ones."""
    made: dict[str, float] = {}
    for finding in record.findings:
        for m in finding.measures:
            parts = [m.name, m.group, f"vs {m.baseline}" if m.baseline else ""]
            name = f"{finding.check}/{' '.join(filter(None, parts))}"
            for end, value in (("", m.value), ("_low", m.low), ("_high", m.high)):
                if value is not None and math.isfinite(value):
                    made.setdefault(_name(name, end), float(value))
    return made


def _tags(record: Record) -> dict[str, str]:
    """Who the run is: id, verdict, digests, classes, notes."""
    tags = {f"digest.{name}": value for name, value in record.digests.items()}
    tags |= {"headstart.id": record.id, "verdict": verdict(record)}
    if record.notes:
        tags["mlflow.note.content"] = "\n\n".join(record.notes)
    return {_name(key): str(value)[:5000] for key, value in tags.items()}


def verdict(record: Record) -> str:
    """The verdict's word as the check "verdict" wrote it, or "not measured"."""
    finding = record.finding("verdict")
    for exhibit in finding.exhibits if finding else ():
        if "verdict" in exhibit.data:
            return str(exhibit.data["verdict"])
    return "not measured"


def _name(text: str, end: str = "") -> str:
    """A name that MLflow takes: letters of ASCII, digits, and - _ . / and blanks."""
    fit = re.sub(r"[^A-Za-z0-9_\-./ ]", "-", text).strip(" /.")
    return re.sub(r"/{2,}", "/", fit)[: _NAME_LIMIT - len(end)] + end


def main(arguments: list[str]) -> int:
    """The process that `later` starts: mirrors one run and notes what became of it."""
    folder, output = Path(arguments[0]), Path(arguments[1])
    done = log(folder, output)
    with suppress(HeadstartError):
        files.write(folder / NOTE, dumps(asdict(done)))
    return 0 if done.id else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
