"""Runs are mirrored into MLflow; nothing there can lose one or phone home."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from headstart.core.evidence import Exhibit, Finding
from headstart.registry import document, tracking
from tests.registry.records import record

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:sqlalchemy", "ignore:.*noload")
ROOT = Path(tracking.__file__).parents[2]

SEALED = """
import socket, sys, threading
from pathlib import Path

def refuse(*args, **kwargs):
    tried.append(args)
    raise OSError("the network is denied")

tried = []
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
socket.create_connection = socket.gethostbyname = refuse
started = []
begin = threading.Thread.start
threading.Thread.start = lambda self: (started.append(self.name), begin(self))[1]
from headstart.registry import tracking
assert "mlflow" not in sys.modules
done = tracking.log(Path(sys.argv[1]), Path(sys.argv[2]))
assert done.id and not done.sentence, done
from mlflow.telemetry.utils import is_telemetry_disabled
from mlflow.telemetry.client import get_telemetry_client
print(tried, started, [t.name for t in threading.enumerate()], is_telemetry_disabled(),
      get_telemetry_client())
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch):
    for name in (tracking.SWITCH, "MLFLOW_TRACKING_URI", "HEADSTART_OFFLINE", *tracking.QUIET):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def finished(output: Path, name: str) -> Path:
    judged = Finding("verdict", (), (Exhibit("verdict", "sentence", "", {"verdict": "helped"}),))
    made = record(id=name, findings=(*record().findings, judged))
    document.write(made, output / name)
    (output / name / "report.html").write_text("<p>report</p>")
    return output / name


def outside() -> dict[str, str]:
    """The environment of a person's shell: no sign of a test or of continuous integration."""
    signs = ("PYTEST_", "CI", "GITHUB_", "MLFLOW_", "DO_NOT_TRACK")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(signs)}
    return kept | {"PYTHONPATH": str(ROOT)}


def rows(output: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(output / "mlflow.db")) as base:
        return base.execute(query).fetchall()


def test_a_run_is_mirrored_without_network_or_threads(output: Path):
    folder = finished(output, "20261121-101500-aaaa")
    command = [sys.executable, "-c", SEALED, str(folder), str(output)]
    done = subprocess.run(command, env=outside(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] [] ['MainThread'] True None"
    assert done.stderr == ""

    metrics = dict(rows(output, "select key, value from metrics"))
    assert metrics["accuracy/accuracy vs majority"] == 0.9
    assert metrics["accuracy/accuracy vs majority_low"] == 0.85
    assert metrics["accuracy/accuracy vs majority_high"] == 0.94
    assert "accuracy/gap cats" not in metrics  # not a number
    params = dict(rows(output, "select key, value from params"))
    assert params["plan.strategy.settings.rate"] == "0.001"
    assert params["source"] == "timm:x"
    assert "plan.engine.batch" not in params  # a default
    tags = dict(rows(output, "select key, value from tags"))
    assert tags["verdict"] == "helped"
    assert tags["digest.data"] == "ab"
    assert rows(output, "select status, name from runs") == [("FINISHED", "20261121-101500-aaaa")]
    assert len(list((output / "artifacts").rglob("report.html"))) == 1
    assert len(list((output / "artifacts").rglob("run.json"))) == 1


def test_two_at_once_on_a_new_file_both_finish(output: Path):
    folders = [finished(output, f"20261121-10150{i}-aaaa") for i in range(3)]
    before = time.perf_counter()
    assert [tracking.later(folder, output) for folder in folders] == ["", "", ""]
    assert time.perf_counter() - before < 3  # seconds on the critical path, for three
    tracking.wait(120)
    done = [tracking.outcome(folder) for folder in folders]
    assert all(d and d.id and not d.sentence for d in done), done
    assert rows(output, "select count(*), status from runs group by status") == [(3, "FINISHED")]
    assert rows(output, "select count(*) from experiments where name = 'headstart'") == [(1,)]
    assert not list(output.glob(".mlflow*"))


def test_a_failing_tracker_loses_nothing(output: Path, monkeypatch: pytest.MonkeyPatch):
    folder = finished(output, "20261121-101500-aaaa")
    (output / "mlflow.db").write_bytes(b"this is no database" * 100)
    done = tracking.log(folder, output)
    assert done.id == ""
    assert "is complete in" in done.sentence
    assert document.read(folder).id == "20261121-101500-aaaa"


def test_the_server_that_a_person_names_is_used(output: Path, monkeypatch: pytest.MonkeyPatch):
    folder = finished(output, "20261121-101500-aaaa")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{output.parent / 'theirs.db'}")
    monkeypatch.chdir(output.parent)
    done = tracking.log(folder, output)
    assert done.id, done.sentence
    assert (output.parent / "theirs.db").is_file()
    assert not (output / "mlflow.db").exists()


def test_refusals_are_sentences(output: Path, monkeypatch: pytest.MonkeyPatch):
    folder = finished(output, "20261121-101500-aaaa")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@tracking.example")
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    assert "HEADSTART_OFFLINE forbids" in tracking.later(folder, output)
    assert "secret" not in tracking.log(folder, output).sentence
    monkeypatch.setenv(tracking.SWITCH, "off")
    assert "is off" in tracking.later(folder, output)
    monkeypatch.delenv(tracking.SWITCH)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'headstart[track]'" in tracking.later(folder, output)
    assert tracking.outcome(folder) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [("R²: äöü (95 %)", "R-- --- -95 --"), ("/a//b/", "a/b"), ("x" * 400, "x" * 250)],
)
def test_names_that_mlflow_takes(text: str, name: str):
    assert tracking._name(text) == name
    assert len(tracking._name(text, "_high")) <= 250
