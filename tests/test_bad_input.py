"""Bad input: exit code 2, a message with what came and what to do, nothing half-written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from headstart import adaptation
from headstart.cli import main
from headstart.core import plugins

Make = Callable[[Path], list[str]]


def pictures(folder: Path, rows: int = 24) -> Path:
    return plugins.Modality("image").tiny.write(folder / "photos", "classify", rows, 0)


def truncated(folder: Path) -> list[str]:
    photos = pictures(folder)
    for path in sorted(photos.rglob("*.png"))[:6]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return [str(photos)]


def one_class(folder: Path) -> list[str]:
    (folder / "photos" / "only").mkdir(parents=True)
    for i in range(6):
        Image.new("RGB", (20, 20), (i, 0, 0)).save(folder / "photos" / "only" / f"{i}.png")
    return [str(folder / "photos")]


def lonely(folder: Path) -> list[str]:
    photos = pictures(folder)
    (photos / "lonely").mkdir()
    Image.new("RGB", (20, 20)).save(photos / "lonely" / "one.png")
    return [str(photos)]


def table(folder: Path, text: str) -> str:
    path = folder / "rows.csv"
    path.write_text(text, "utf-8")
    return str(path)


def unlabelled(folder: Path) -> list[str]:
    rows = [f"{i % 7}.5,{'' if i % 2 else 'ab'[i % 4 // 2]}" for i in range(40)]
    return [table(folder, "x,label\n" + "\n".join(rows) + "\n")]


def plan(folder: Path) -> list[str]:
    (folder / "plan.toml").write_text("[tsak]\ndata = 'photos'\n")
    return [str(folder / "plan.toml")]


def readonly(folder: Path) -> list[str]:
    (folder / "file").write_text("not a folder")
    return [str(pictures(folder)), "--output", str(folder / "file" / "runs")]


def with_photos(*options: str) -> Make:
    return lambda folder: [str(pictures(folder)), *options]


CASES: dict[str, tuple[Make, str]] = {
    "missing folder": (lambda folder: [str(folder / "nowhere")], "no data at"),
    "empty folder": (lambda folder: [str(folder)], "Expected"),
    "one class": (one_class, "class"),
    "a class with one example": (lonely, "lonely"),
    "labels missing": (unlabelled, "tolerate"),
    "truncated pictures": (truncated, "truncated"),
    "unknown column": (
        lambda folder: [
            table(folder, "age,label\n" + "1,a\n2,b\n" * 20),
            "--target",
            "lable",
        ],
        "label",
    ),
    "unknown source": (with_photos("--source", "builtin:formla"), "builtin:formula"),
    "unknown timm name": (with_photos("--source", "timm:resnet19"), "resnet"),
    "a hub name while offline": (with_photos("--source", "timm:resnet18.a1_in1k"), "built-in"),
    "a pickle": (with_photos("--source", f"file:{__file__}.pt"), "There is no file"),
    "unknown strategy": (with_photos("--strategy", "fine_tun"), "fine_tune"),
    "unknown setting": (
        with_photos("--strategy", "fine_tune", "--set", "epoch=2"),
        "epochs",
    ),
    "a cut that is not there": (
        with_photos("--strategy", "fine_tune", "--set", "cut=99"),
        "stages",
    ),
    "an unknown key in a plan": (plan, "task"),
    "unwritable output": (readonly, "runs"),
}


@pytest.mark.parametrize("name", CASES)
def test_exit_2_and_a_way_out(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, said = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    arguments = make(tmp_path)
    assert main(["run", *arguments, "--seeds", "1"]) == 2
    error = capfd.readouterr().err
    assert said in " ".join(error.split()), error
    assert "Traceback" not in error
    assert not list((tmp_path / "headstart-runs").glob("*/*"))


def test_an_output_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "_features", lambda made: pytest.fail("it began"))
    assert main(["run", *readonly(tmp_path)]) == 2
    assert "runs could not be written" in " ".join(capfd.readouterr().err.split())


def test_a_pickle_is_refused_with_the_safe_way(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weights.pt").write_bytes(b"\x80\x04.")
    photos = pictures(tmp_path)
    source = f"file:{tmp_path / 'weights.pt'}"
    assert main(["run", str(photos), "--source", source]) == 2
    assert "weights_only=True" in capfd.readouterr().err


def test_test_rows_of_a_class_never_learned_are_set_aside(tmp_path: Path) -> None:
    """The run ends with scores of the others and says so; it does not fail after the training."""
    from headstart import api

    path = tmp_path / "rows.csv"
    lines = ["size,weight,split,label"]
    for i in range(80):
        part = "train" if i < 50 else "test"
        label = "c" if i in (60, 70) else "ab"[i % 2]
        lines.append(f"{i % 2 + i % 7 / 10},{i * 13 % 29},{part},{label}")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    run = api.adapt(
        path,
        output=str(tmp_path / "runs"),
        seeds=1,
        champion=False,
        strategy="linear_probe",
        learning_curve=False,
        near_duplicates=False,
    )
    assert [s["name"] for s in run.record.set_aside] == ["row 61", "row 71"]
    assert "no training row" in run.record.set_aside[0]["reason"]
    assert any("2 of 30 test rows have a class" in n for n in run.record.notes)
    assert len(run.record.predictions["names"]) == 28


def test_a_few_bad_pictures_are_set_aside_by_name(tmp_path: Path) -> None:
    from headstart import api

    photos = pictures(tmp_path, rows=90)
    victim = sorted(photos.rglob("*.png"))[4]
    victim.write_bytes(victim.read_bytes()[:200])
    (photos / "ring" / "notes.txt").write_text("not a picture")
    run = api.adapt(
        photos,
        output=str(tmp_path / "runs"),
        seeds=1,
        scratch=False,
        champion=False,
        strategy="linear_probe",
    )
    names = " ".join(row["name"] for row in run.record.set_aside)
    assert victim.name in names and "notes.txt" in names
    assert os.path.basename(victim) in run.report().read_text("utf-8")
