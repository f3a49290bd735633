"""Killed in the middle, the repeated command ends with the same predictions as an undisturbed one."""

from __future__ import annotations

import json
import os
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from headstart.core import plugins
from headstart.core.run import Record
from headstart.registry import document
from headstart.trainings import TAKEN_UP
from tests import forks

POINTS = (
    "store.before_commit",
    "store.after_commit",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "phase.before",
    "phase.after",
)


def command(data: Path, output: Path) -> list[str]:
    plan = output.parent / "plan.toml"
    plan.write_text(
        f"""output = "{output}"
[task]
data = "{data}"
[strategy]
name = "fine_tune"
[strategy.settings]
epochs = 3
cut = -2
augment = false
rate = 0.001
[evidence]
seeds = 1
scratch = false
champion = false
learning_curve = false
checks = ["accuracy"]
"""
    )
    return ["run", str(plan), "--quiet"]


def environment(home: Path, fault: str = "") -> dict[str, str]:
    made = {**os.environ, "HEADSTART_CACHE": str(home / "cache"), "HEADSTART_TRACKING": "off"}
    if fault:
        made["HEADSTART_FAULT"] = fault
    return made


def run(asked: list[str], home: Path, fault: str = "") -> forks.Done:
    return forks.run(forks.command, asked, home, environment(home, fault))


def finish(asked: list[str], home: Path) -> None:
    done = run(asked, home)
    assert done.code == 0, done.output


def record(output: Path) -> Record:
    """Of the newest finished run."""
    finished = sorted(p.parent for p in output.glob("*/run.json"))
    return document.read(finished[-1])


def outputs(output: Path) -> np.ndarray:
    """Predictions of the newest finished run."""
    return np.asarray(record(output).predictions["outputs"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    home = tmp_path_factory.mktemp("undisturbed")
    data = plugins.Modality("image").tiny.write(home / "photos", "classify", 30, 0)
    finish(command(data, home / "runs"), home)
    return data, outputs(home / "runs")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point(
    point: str, undisturbed: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    data, expected = undisturbed
    asked = command(data, tmp_path / "runs")
    first = run(asked, tmp_path, f"{point}:kill")
    assert first.code == -9, f"{point} was never reached"
    assert not list((tmp_path / "runs").glob("*/run.json"))
    finish(asked, tmp_path)
    np.testing.assert_allclose(outputs(tmp_path / "runs"), expected, atol=1e-5)
    if point.startswith("store") or point == "checkpoint.after_rename":
        told = TAKEN_UP in record(tmp_path / "runs").notes
        assert told == point.startswith("checkpoint")


def test_a_full_disk_loses_nothing(undisturbed: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    data, expected = undisturbed
    asked = command(data, tmp_path / "runs")
    first = run(asked, tmp_path, "store.before_commit:enospc")
    assert first.code == 2, first.output
    assert "Traceback" not in first.output
    finish(asked, tmp_path)
    np.testing.assert_allclose(outputs(tmp_path / "runs"), expected, atol=1e-5)


def test_two_runs_at_once_on_one_store_agree(
    undisturbed: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    data, expected = undisturbed
    asked = [
        command(data, tmp_path / name / "runs") for name in ("a", "b") if _made(tmp_path / name)
    ]
    running = [started(one, tmp_path, f"log{place}") for place, one in enumerate(asked)]
    for one in running:
        one.join(300)
    assert [one.exitcode for one in running] == [0, 0]
    for name in ("a", "b"):
        np.testing.assert_allclose(outputs(tmp_path / name / "runs"), expected, atol=1e-5)


def started(asked: list[str], home: Path, log: str) -> BaseProcess:
    return forks.start(forks.command, asked, home, environment(home), home / log)


def _made(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return True


@pytest.mark.skipif(
    "HEADSTART_SLOW" not in os.environ, reason="five more kills; set HEADSTART_SLOW=1"
)
def test_killed_at_random_moments(undisturbed: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    data, expected = undisturbed
    asked = command(data, tmp_path / "runs")
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    waits = rng.uniform(2.0, 12.0, 5).round(2).tolist()
    for wait in waits:
        one = started(asked, tmp_path, "log")
        time.sleep(wait)
        one.kill()
        one.join()
    finish(asked, tmp_path)
    np.testing.assert_allclose(
        outputs(tmp_path / "runs"), expected, atol=1e-5, err_msg=json.dumps(waits)
    )
