"""Killed in the middle, the repeated command ends with the same predictions as an undisturbed one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.core import plugins

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
"""
    )
    return [sys.executable, "-m", "headstart", "run", str(plan), "--quiet"]


def environment(home: Path, fault: str = "") -> dict[str, str]:
    made = {**os.environ, "HEADSTART_CACHE": str(home / "cache"), "HEADSTART_TRACKING": "off"}
    made["PYTHONPATH"] = str(Path(__file__).parents[1])
    if fault:
        made["HEADSTART_FAULT"] = fault
    return made


def outputs(output: Path) -> np.ndarray:
    """Predictions of the newest finished run."""
    from headstart.registry import document

    finished = sorted(p.parent for p in output.glob("*/run.json"))
    return np.asarray(document.read(finished[-1]).predictions["outputs"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    home = tmp_path_factory.mktemp("undisturbed")
    data = plugins.Modality("image").tiny.write(home / "photos", "classify", 48, 0)
    subprocess.run(command(data, home / "runs"), env=environment(home), check=True)
    return data, outputs(home / "runs")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point(
    point: str, undisturbed: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    data, expected = undisturbed
    asked = command(data, tmp_path / "runs")
    first = subprocess.run(asked, env=environment(tmp_path, f"{point}:kill"), check=False)
    assert first.returncode == -9, f"{point} was never reached"
    assert not list((tmp_path / "runs").glob("*/run.json"))
    subprocess.run(asked, env=environment(tmp_path), check=True)
    np.testing.assert_allclose(outputs(tmp_path / "runs"), expected, atol=1e-5)


def test_a_full_disk_loses_nothing(undisturbed: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    data, expected = undisturbed
    asked = command(data, tmp_path / "runs")
    fault = environment(tmp_path, "store.before_commit:enospc")
    first = subprocess.run(asked, env=fault, capture_output=True, text=True, check=False)
    assert first.returncode == 2, first.stderr
    assert "Traceback" not in first.stderr
    subprocess.run(asked, env=environment(tmp_path), check=True)
    np.testing.assert_allclose(outputs(tmp_path / "runs"), expected, atol=1e-5)


def test_two_runs_at_once_on_one_store_agree(
    undisturbed: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    data, expected = undisturbed
    asked = [
        command(data, tmp_path / name / "runs") for name in ("a", "b") if _made(tmp_path / name)
    ]
    running = [subprocess.Popen(one, env=environment(tmp_path)) for one in asked]
    assert [one.wait(timeout=300) for one in running] == [0, 0]
    for name in ("a", "b"):
        np.testing.assert_allclose(outputs(tmp_path / name / "runs"), expected, atol=1e-5)


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
        started = subprocess.Popen(asked, env=environment(tmp_path))
        time.sleep(wait)
        started.kill()
        started.wait()
    subprocess.run(asked, env=environment(tmp_path), check=True)
    np.testing.assert_allclose(
        outputs(tmp_path / "runs"), expected, atol=1e-5, err_msg=json.dumps(waits)
    )
