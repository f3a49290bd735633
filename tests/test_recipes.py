"""Every recipe is carried out on tiny data, with one seed, few epochs and without the twin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import forks
from tests.test_readme import ROOT, environment, folder

RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
SHORT = ("--seeds", "1", "--set", "evidence.scratch=false")
__all__ = ["folder"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_recipe(recipe: Path, folder: Path) -> None:
    command = ["run", str(recipe), "--output", recipe.stem, "--quiet", *SHORT]
    command += ["--set", "epochs=2"] if "epochs" in recipe.read_text("utf-8") else []
    done = forks.run(forks.command, command, folder, environment(folder))
    assert done.code == 0, done.output
    (made,) = (folder / recipe.stem).glob("*/run.json")
    told = json.loads(made.read_text("utf-8"))
    assert told["findings"]
    assert (made.parent / "report.html").exists()


def test_every_recipe_is_listed() -> None:
    listed = (ROOT / "recipes" / "README.md").read_text("utf-8")
    assert RECIPES
    assert [p.name for p in RECIPES if f"`{p.name}`" not in listed] == []
