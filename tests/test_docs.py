"""What the pages of docs/ show is run: every block, on tiny data; pictures are there and small.

Runs are rehearsed here; those that their block goes on to use have one seed, no twin, and the solved head
where they name no strategy. The README's
are carried out in full.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import pages
from tests.test_readme import ROOT, Block, blocks, commands, folder, run, run_code

PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCKS = [(page, block) for page in PAGES for block in blocks(page.read_text("utf-8"))]
SHORT = " --seeds 1 --set evidence.scratch=false --set evidence.learning_curve=false"
PLAIN = " --strategy linear_probe"
GUIDE = "add_a_modality.md"
MOST_BYTES = 200_000
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<place>[^)#]+)\)")
__all__ = ["folder"]


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    """The README's data, and what the pages speak of beside it."""
    pages.write(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "block"), BLOCKS, ids=lambda v: f"line-{v.line}" if isinstance(v, Block) else v.stem
)
def test_block(page: Path, block: Block, home: Path) -> None:
    if block.reason:
        pytest.skip(block.reason)
    if page.name == GUIDE and block.kind in ("python", "toml"):
        pytest.skip("tests/test_add_a_modality.py follows the guide")
    if block.kind == "python":
        run_code(pages.BEFORE.get(page.stem, "") + block.body, home)
        return
    assert block.kind == "console", f"nothing tests a block of kind '{block.kind}'"
    typed = commands(block)
    used = any(" last " in command for command in typed)
    for command in typed:
        if " --output " in command:
            (home / command.split(" --output ")[1].split()[0]).unlink(missing_ok=True)
        runs = command.startswith("headstart run") and "--dry-run" not in command
        free = not any(f" --{name} " in command for name in ("strategy", "remember", "retain"))
        run(command + (SHORT + PLAIN * free if used else " --dry-run") * runs, home)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_what_a_page_points_to_is_there_and_pictures_are_small(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for match in _LINK.finditer(prose):
        place = (page.parent / match["place"]).resolve()
        if "://" not in match["place"]:
            assert place.exists(), match["place"]
            assert place.suffix != ".png" or place.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert f"docs/{page.name}" in (ROOT / "README.md").read_text("utf-8")
