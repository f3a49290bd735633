"""What docs/audio.md shows, carried out on tiny sounds, some of them bad."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from headstart.cli import main
from headstart.modalities.audio import tiny
from tests.modalities.audio.sounds import encoded, tune
from tests.modalities.audio.test_backbones import saved
from tests.test_readme import ROOT, blocks, commands

SHORT = ["--strategy", "linear_probe", "--seeds", "1", "--set", "evidence.scratch=false"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """birds/ with one sound at another rate and a text named .wav, calls.csv with sites, new.wav."""
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path / "birds", "classify", 36, 0)
    stereo = np.stack([tune(0.3, 16000)] * 2, axis=1)
    (tmp_path / "birds" / "tone" / "fast.wav").write_bytes(encoded(stereo, 16000))
    (tmp_path / "birds" / "tone" / "text.wav").write_text("A text with a wrong name.")
    (tmp_path / "new.wav").write_bytes((tmp_path / "birds" / "tone" / "0000.wav").read_bytes())
    files = sorted((tmp_path / "birds").rglob("0*.*"))
    lines = [f"{f.relative_to(tmp_path)},{f.parent.name},{i % 6}" for i, f in enumerate(files)]
    (tmp_path / "calls.csv").write_text("\n".join(["sound,label,site", *lines]) + "\n")
    return tmp_path


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_a_folder_of_transformers_is_a_source(
    family: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The frozen network runs in ONNX Runtime as well."""
    command = ["run", "birds", "--source", f"hf:{saved(family)}", *SHORT]
    assert main([*command, "--set", "engine.executor=onnx"]) == 0, capsys.readouterr()
    (place,) = (home / "headstart-runs").glob("*/run.json")
    told = json.loads(place.read_text("utf-8"))
    assert told["source"]["family"] == family
    assert told["facts"]["executor"].startswith("onnx")
    assert not any("passed over" in note for note in told["notes"])


def test_what_the_page_shows_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "audio.md").read_text("utf-8")
    typed = [c for block in blocks(page) if block.kind == "console" for c in commands(block)]
    assert len(typed) == 3
    for command in typed:
        _, verb, *rest = shlex.split(command)
        assert main([verb, *rest, *(SHORT if verb == "run" else [])]) == 0, capsys.readouterr()
    runs = sorted((home / "headstart-runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime_ns)
    first = json.loads(runs[0].read_text("utf-8"))
    said = " ".join(first["notes"])
    assert "resampled from 16000 to 8000 Hz, 1." in said
    assert "channels mixed to one, 1." in said
    (aside,) = first["set_aside"]
    assert "no sound" in aside["reason"]
    assert first["facts"]["arms"]["champion"]
    assert (home / "predictions.csv").read_text("utf-8").count("\n") == 2
    report = (runs[0].parent / "report.html").read_text("utf-8")
    assert "Which bird sings?" in report
    mistakes = next(f for f in first["findings"] if f["check"] == "mistakes")
    shown = [r for e in mistakes["exhibits"] for r in e["data"].get("rows", ())]
    assert report.count("data:audio/wav;base64,") == len(shown)


def test_odd_sounds_are_marked_among_predictions_and_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["sound,label"]
    for i in range(32):
        both = np.stack([tune(0.3, seed=i)] * 2, axis=1)
        (tmp_path / f"{i}.wav").write_bytes(encoded(both))
        lines.append(f"{i}.wav,{'ab'[i // 2 % 2]}")
    (tmp_path / "calls.csv").write_text("\n".join(lines) + "\n")
    assert main(["run", "calls.csv", "--set", "task.near_duplicates=false", *SHORT]) == 0
    (place,) = (tmp_path / "headstart-runs").glob("*/run.json")
    findings = json.loads(place.read_text("utf-8"))["findings"]
    (shown,) = (e for f in findings if f["check"] == "mistakes" for e in f["exhibits"])
    assert shown["data"]["rows"], "labels by lot cannot be learned"
    assert {row["notes"] for row in shown["data"]["rows"]} == {"channels mixed to one"}
    assert "channels mixed to one</bdi>" in (place.parent / "report.html").read_text("utf-8")

    (tmp_path / "silent.wav").write_bytes(encoded(0 * tune(0.3)))
    (tmp_path / "plain.wav").write_bytes(encoded(tune(0.3, seed=99)))
    capsys.readouterr()
    assert main(["predict", "last", "silent.wav", "plain.wav", "0.wav"]) == 0
    table = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert [row[-1] for row in table] == ["notes", "silent", "", "channels mixed to one"]
