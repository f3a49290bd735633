"""The record of a run comes back equal, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.core.plan import Plan, build, read
from headstart.core.run import FORMAT
from headstart.errors import StorageError
from headstart.registry import document
from headstart.registry.plain import dumps, loads
from tests.registry.records import record, same


def test_what_is_read_equals_what_was_written(tmp_path: Path):
    document.write(record(), tmp_path / "deep" / "run")
    back = document.read(tmp_path / "deep" / "run")
    assert same(back, record())
    assert back.plan == record().plan
    assert back.plan.digest == record().plan.digest


def test_the_json_is_standard(tmp_path: Path):
    path = document.write(record(), tmp_path)

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    json.loads(path.read_text("utf-8"), parse_constant=refuse)


def test_predictions_are_left_out_when_not_wanted(tmp_path: Path):
    document.write(record(), tmp_path)
    (tmp_path / document.PREDICTIONS).unlink()
    assert document.read(tmp_path, predictions=False).predictions == {}
    with pytest.raises(StorageError, match=r"predictions\.safetensors is damaged"):
        document.read(tmp_path)


def test_large_predictions_stay_small_and_quick(tmp_path: Path):
    outputs = np.random.default_rng(0).random((10_000, 150), dtype=np.float32)
    names = [f"photos/{i:05d}.jpg" for i in range(10_000)]
    document.write(record(predictions={"outputs": outputs, "names": names}), tmp_path)
    assert (tmp_path / document.PREDICTIONS).stat().st_size < outputs.nbytes + 10_000 * 30
    assert (tmp_path / document.RUN).stat().st_size < 10_000
    assert np.array_equal(document.read(tmp_path).predictions["outputs"], outputs)


def test_plan_holds_the_differences_only(tmp_path: Path):
    document.write(record(), tmp_path)
    values = tomllib.loads((tmp_path / document.PLAN).read_text("utf-8"))
    assert set(values) == {"task", "strategy", "evidence", "seed"}
    assert read(tmp_path / document.PLAN) == record().plan


def test_none_in_a_plan_is_said(tmp_path: Path):
    plan = build(Plan, {"strategy": {"name": "x", "settings": {"patience": None, "rate": 1.0}}})
    document.write_plan(plan, tmp_path / "plan.toml")
    text = (tmp_path / "plan.toml").read_text("utf-8")
    assert "# strategy.settings.patience is none" in text
    assert read(tmp_path / "plan.toml").strategy.settings == {"rate": 1.0}


def test_a_newer_format_says_what_to_do(tmp_path: Path):
    path = document.write(record(), tmp_path)
    values = json.loads(path.read_text("utf-8")) | {"format": FORMAT + 1, "headstart": "9.0"}
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(StorageError, match=r"written by headstart 9\.0.*pip install --upgrade"):
        document.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "plan": 3}'])
def test_damage_is_an_error_with_a_remedy(tmp_path: Path, text: str):
    (tmp_path / document.RUN).write_text(text, "utf-8")
    with pytest.raises(StorageError, match="headstart run"):
        document.read(tmp_path)


def test_changed_predictions_are_refused(tmp_path: Path):
    document.write(record(), tmp_path)
    path = tmp_path / document.PREDICTIONS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StorageError, match="digest"):
        document.read(tmp_path)


def test_an_empty_folder_holds_no_run(tmp_path: Path):
    with pytest.raises(StorageError, match="no finished run"):
        document.read(tmp_path)


def test_a_full_disk_leaves_the_former_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    document.write(record(), tmp_path)
    monkeypatch.setenv("HEADSTART_FAULT", "registry.before_fsync:enospc")
    with pytest.raises(StorageError, match="disk is full"):
        document.write(record(notes=("new",)), tmp_path)
    monkeypatch.delenv("HEADSTART_FAULT")
    assert same(document.read(tmp_path), record())
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".part"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_writer_leaves_no_half_run(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from headstart.registry import files\n"
        "files.write(Path(sys.argv[1]) / 'run.json', b'half')"
    )
    environment = os.environ | {"HEADSTART_FAULT": "registry.before_replace:kill"}
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, check=False
    )
    assert killed.returncode != 0
    assert not (tmp_path / "run.json").exists()


@pytest.fixture(autouse=True, scope="module")
def _subnormal_numbers_count() -> Iterator[None]:
    """The engine makes them zero in its process, and another test may have loaded it."""
    loaded = "headstart.engine.device" in sys.modules
    if loaded:
        sys.modules["torch"].set_flush_denormal(False)
    yield
    if loaded:
        sys.modules["torch"].set_flush_denormal(True)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_subnormal=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$float", "$$", "$"]), inner)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200)
@given(json_like)
def test_every_plain_value_survives(value):
    assert same(loads(dumps(value)), value)
