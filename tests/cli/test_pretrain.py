"""`pretrain` on a command line, on generated waves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from headstart.cli import main
from headstart.core import plugins

SMALL = ("--architecture", "encoder?width=16&blocks=2&halved=1", "--batch", "12")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return str(plugins.Modality("series").tiny.write(tmp_path / "waves", "classify", 36, 0))


def test_a_source_is_written_and_the_next_step_is_named(
    data: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ask = ["pretrain", data, "--objective", "masked", "--epochs", "1", "--output", "out", *SMALL]
    assert main(ask) == 0
    said = capfd.readouterr()
    assert "linear probe" in said.out
    assert "next: headstart run DATA --source file:out/model.safetensors" in said.out
    assert Path("out/README.md").is_file()
    assert main([*ask, "--json"]) == 0  # it is there already
    told = json.loads(capfd.readouterr().out)
    assert told["uri"] == "file:out/model.safetensors"
    assert told["objective"] == "masked"


def test_a_rehearsal_writes_nothing(data: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", data, "--objective", "simclr", "--dry-run", "--output", "out"]) == 0
    assert "nothing was written" in capfd.readouterr().out
    assert main(["pretrain", data, "--dry-run", "--json", "--set", "temperature=0.5"]) == 0
    assert json.loads(capfd.readouterr().out)["settings"]["temperature"] == 0.5
    assert not Path("out").exists()


def test_what_cannot_be_is_answered(data: str, capfd: pytest.CaptureFixture[str]) -> None:
    for options, said in (
        (["--objective", "simcrl"], "Did you mean 'simclr'"),
        (["--set", "temperatur=1"], "temperatur"),
        (["--set", "engine.batch=1"], "no plan"),
        (["--batch", "50"], "there are 36 samples"),
        (["--modality", "image"], "image"),
    ):
        assert main(["pretrain", data, "--dry-run", *options]) == 2, options
        assert said in capfd.readouterr().err


def test_captions_are_found_and_recall_is_told(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in Path(data).read_text("utf-8").splitlines()]
    for place, row in enumerate(rows):
        row["said"] = f"a wave of the kind {row['label']}, number {place}"
    told = tmp_path / "said.jsonl"
    told.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    ask = ["pretrain", str(told), "--caption", "said", "--input", "a", "--epochs", "1"]
    ask += ["--modality", "series", "--output", "out", *SMALL]
    assert main([*ask, "--dry-run"]) == 0
    planned = capfd.readouterr().out
    assert "column: said" in planned
    assert "builtin:minilm" in planned
    assert main(ask) == 0
    said = capfd.readouterr().out
    assert "clip" in said
    assert re.search(r"a to said +recall at 1 .*; chance", said)
    assert main([*ask, "--objective", "byol"]) == 2
    assert "reads none" in capfd.readouterr().err
