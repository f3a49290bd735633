"""The named strategies through the Python call and the command line, and their refusals before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart import api
from headstart.cli import main
from headstart.core import plugins
from headstart.errors import PlanError
from tests.strategies import case

QUICK: dict[str, Any] = {
    "seeds": 1,
    "scratch": False,
    "champion": False,
    "learning_curve": False,
    "checks": ["accuracy"],
}
SETTINGS = {"epochs": 1, "rate": 1e-3, "cut": -1, "augment": False}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return plugins.Modality("image").tiny.write(folder / "photos", "classify", 24, 0)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return plugins.Modality("table").tiny.write(folder / "table", "regress", 40, 0)


BY_NAME = [n for n in case.NAMES if n not in ("co_tuning", "lp_ft", "replay", "si", "distill")]


@pytest.mark.parametrize("name", BY_NAME)
def test_a_run_by_name_tells_its_settings(name: str, photos: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "label_smoothing": 0.1, "balanced": True, "mixup": 0.2}
    run = api.adapt(photos, strategy=name, settings=settings, output=str(tmp_path), **QUICK)
    told = run.record.facts["strategy_settings"]
    assert run.record.facts["strategy"] == name
    assert (told["label_smoothing"], told["balanced"], told["mixup"]) == (0.1, True, 0.2)
    assert told["cut"] == -1 and "clip" not in told


def test_the_command_line_takes_both_kinds_of_settings(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    typed = ["run", str(photos), "--strategy", "lp_ft", "--seeds", "1", "--output", str(tmp_path)]
    for one in ("epochs=1", "cut=-1", "augment=false", "rate=0.001", "clip=0.5"):
        typed += ["--set", one]
    for one in ("scratch", "champion", "learning_curve"):
        typed += ["--set", f"evidence.{one}=false"]
    typed += ["--set", "evidence.checks=['accuracy']"]
    assert main(typed) == 0, capfd.readouterr().err
    (folder,) = tmp_path.glob("*/run.json")
    told = api.open_run(folder.parent).record.facts["strategy_settings"]
    assert (told["rate"], told["head_rate"], told["clip"]) == (0.001, 1.0, 0.5)


REFUSED = [
    ("co_tuning", {}, "brings no head of its own.*choose bi_tuning, bss or l2_sp"),
    ("bi_tuning", {}, "no single class; choose bss or l2_sp"),
    ("stoch_norm", {}, "batch norm.*choose bss, l2_sp or fine_tune"),
    ("l2_sp", {"balanced": True}, "balanced needs classes"),
    ("linear_probe", {"mixup": 0.1}, "nothing is trained step by step"),
    ("l2_sp", {"alpha": -1.0}, "l2_sp.alpha came as -1.0"),
    ("l2_sp", {"alfa": 1.0}, "alpha"),
]


@pytest.mark.parametrize(("name", "settings", "told"), REFUSED)
def test_refused_before_anything_is_trained(
    name: str, settings: dict[str, Any], told: str, rows: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match=told):
        api.adapt(
            rows,
            strategy=name,
            settings=settings,
            output=str(tmp_path / "runs"),
            **QUICK,
        )
    assert not (tmp_path / "runs").exists()
