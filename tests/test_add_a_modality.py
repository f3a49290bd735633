"""The guide is followed: its files, cut out of the page, make a modality by adding one folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import headstart as hs
import headstart.modalities
from headstart.core import plugins
from testing import _things, backbone, modality, strategy

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "add_a_modality.md"
NAME = "colour"
PARTS = ("__init__", *plugins.Modality.PARTS)
_FILE = re.compile(r"^### `(?P<name>[\w.]+)`\n.*?^```\w+\n(?P<text>.*?)^```$", re.M | re.S)


def files() -> dict[str, str]:
    """Name -> content of every file on the page."""
    return {m["name"]: m["text"] for m in _FILE.finditer(GUIDE.read_text("utf-8"))}


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The modality's folder on the package's path for as long as this file's tests run."""
    root = tmp_path_factory.mktemp("added")
    (root / NAME).mkdir()
    for name, text in files().items():
        (root / NAME / name).write_text(text, "utf-8")
    headstart.modalities.__path__.append(str(root))
    _things.sources.cache_clear()
    yield NAME
    headstart.modalities.__path__.remove(str(root))
    _things.sources.cache_clear()
    for name in [n for n in sys.modules if n.startswith(f"headstart.modalities.{NAME}")]:
        del sys.modules[name]


def test_the_page_shows_every_file_of_the_folder() -> None:
    assert set(files()) == {*(f"{part}.py" for part in PARTS), "sources.toml"}


def test_one_folder_is_enough_to_be_found(added: str) -> None:
    assert added in plugins.names("modality")
    assert added in modality.things()
    assert {t for t in backbone.things() if t.startswith(f"{added}/")} == {
        "colour/tiny",
        "colour/builtin:colour-mix",
    }


@pytest.mark.parametrize("name", dict(modality.checks()))
def test_the_modality_suite_passes(added: str, name: str) -> None:
    dict(modality.checks())[name](added)


@pytest.mark.parametrize("source", ["tiny", "builtin:colour-mix"])
@pytest.mark.parametrize("name", dict(backbone.checks()))
def test_the_backbone_suite_passes(added: str, name: str, source: str) -> None:
    dict(backbone.checks())[name](f"{added}/{source}")


def test_every_strategy_meets_it(added: str) -> None:
    mine = [t for t in strategy.things() if t.endswith(f"/{added}")]
    assert {t.partition("/")[0] for t in mine} == set(plugins.names("strategy"))
    for thing in mine:
        for name, check in strategy.checks():
            if (name, thing) not in strategy.KNOWN:
                check(thing)


def test_a_run_ends_with_a_verdict(added: str, tmp_path: Path) -> None:
    data = plugins.Modality(added).tiny.write(tmp_path / "data", "classify", 120, 0)
    lines = data.read_text("utf-8").splitlines()
    data.write_text("\n".join([*lines, "orange,red"]) + "\n", "utf-8")
    run = hs.adapt(str(data), seeds=2, output=str(tmp_path / "runs"))
    assert run.record.facts["strategy"]
    assert run.verdict in ("helped", "no evidence", "harmed")
    assert run.sentence
    assert [one["reason"] for one in run.record.set_aside] == ["'orange' is no colour"]
    assert "random colour mix" in run.report().read_text("utf-8")
    said = run.predict(["#f01010", "#1010f0", "mauve"])
    assert [str(label) for label in said.labels] == ["red", "blue"]
    assert [one.reason for one in said.bad] == ["'mauve' is no colour"]
